-- Puts a run back into the lane if its lease has expired or its worker is known to be dead.
-- call: {id, dead_worker, now, ttl, max_starts, failure, max_dead}
local call = cjson.decode(ARGV[1])
local id, now = call.id, time_of(call.now)
local lease, holder = redis.call('ZSCORE', 'running', id), get(id, 'worker')
if not lease or (tonumber(lease) > tonumber(now) and holder ~= call.dead_worker) then
  return nil
end
if settle(id, now, call) then
  return nil
end
return view(put_back(id, now, now))
