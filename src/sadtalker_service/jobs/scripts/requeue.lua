-- A run whose lease has expired goes back to the lane.
local id, given, ttl, max_starts, failure, max_dead = unpack(ARGV)
local now = time_of(given)
local lease = redis.call('ZSCORE', 'running', id)
if not lease or tonumber(lease) > tonumber(now) then
  return nil
end
if settle(id, now, { ttl = ttl, max_starts = max_starts, failure = failure, max_dead = max_dead }) then
  return nil
end
return view(put_back(id, now, now))
