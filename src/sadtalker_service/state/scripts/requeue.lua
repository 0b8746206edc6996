-- A run whose lease has expired, or whose worker is known to be dead, goes back to the lane.
local id, dead_worker, given, ttl, max_starts, failure, max_dead = unpack(ARGV)
local now = time_of(given)
local lease, holder = redis.call('ZSCORE', 'running', id), get(id, 'worker')
if not lease or (tonumber(lease) > tonumber(now) and holder ~= dead_worker) then
  return nil
end
if settle(id, now, { ttl = ttl, max_starts = max_starts, failure = failure, max_dead = max_dead }) then
  return nil
end
return view(put_back(id, now, now))
