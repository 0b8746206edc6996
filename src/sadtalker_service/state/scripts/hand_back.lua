-- A run ends early and its start does not count.
local id, attempt, given, ttl = unpack(ARGV)
local owner = session_of_run(id, attempt, ttl)
if not owner then
  return 0
end
local now = time_of(given)
local flagged = get(owner, 'cancel')
if flagged or avatar_is_gone(owner) then
  cancel_leader(owner, now, ttl)
  return 1
end
redis.call('HINCRBY', 'session:' .. owner, 'starts', -1)
put_back(owner, 0, now)
return 1
