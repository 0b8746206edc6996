-- The video of a run is published.
local id, attempt, given, outcome, ttl, result_ttl = unpack(ARGV)
local owner, last = session_of_run(id, attempt, ttl)
if not owner then
  -- a repeat, because the reply to the first call was lost
  local state, present, run_as = get(last, 'state', 'attempt', 'run_as')
  return (state == 'ready' and present == attempt and (run_as or last) == id) and 1 or 0
end
local now = time_of(given)
local key, image, flagged = get(owner, 'result_key', 'image_id', 'cancel')
if flagged or avatar_is_gone(owner) then
  cancel_leader(owner, now, ttl)
  return 0
end
redis.call('HSET', 'result:' .. key, 'outcome', outcome, 'image_id', image, 'created_at', now)
redis.call('PEXPIRE', 'result:' .. key, result_ttl)
redis.call('SADD', 'avatar_videos:' .. image, key)
redis.call('SET', 'video_of:' .. key, image)
set(owner, 'outcome', outcome)
close_all(owner, 'ready', now, ttl)
return 1
