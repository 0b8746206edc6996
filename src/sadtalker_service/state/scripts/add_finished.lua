-- Adds a session that is ready from its beginning, with a video that no job has made. 0 if the avatar was deleted, at
-- least for its owner.
-- call: {id, base, lane, key, image, owner, engine, seconds, queued_at, started_at, outcome, now, ttl, result_ttl}
local call = cjson.decode(ARGV[1])
local id, key, image = call.id, call.key, call.image
if redis.call('EXISTS', 'session:' .. id) == 1 then -- the reply to the first call was lost
  return 1
end
if redis.call('SISMEMBER', 'avatar_owners:' .. image, call.owner) == 0 then
  return 0
end
local now = time_of(call.now)
set(id, 'base', call.base, 'state', 'ready', 'lane', call.lane, 'result_key', key, 'image_id', image,
  'owner', call.owner, 'engine', call.engine, 'seconds', call.seconds, 'queued_at', call.queued_at,
  'started_at', call.started_at, 'ended_at', now, 'callback', '0', 'attempt', '1', 'starts', '1', 'fence', '1',
  'seq', redis.call('INCR', 'sequence'), 'outcome', call.outcome)
redis.call('HSET', 'result:' .. key, 'outcome', call.outcome, 'image_id', image, 'created_at', now)
redis.call('PEXPIRE', 'result:' .. key, call.result_ttl)
redis.call('SADD', 'avatar_videos:' .. image, key)
redis.call('SET', 'video_of:' .. key, image)
redis.call('SADD', 'video_owners:' .. key, call.owner)
send_event(id, event_of(id, now))
redis.call('PEXPIRE', 'session:' .. id, call.ttl)
redis.call('PEXPIRE', 'events:' .. id, call.ttl)
return 1
