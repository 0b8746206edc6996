-- Extends the lease of a run.
local id, attempt, given, lease, ttl = unpack(ARGV)
local owner = session_of_run(id, attempt, ttl)
if not owner then
  return 0
end
redis.call('ZADD', 'running', later(time_of(given), lease), owner)
return 1
