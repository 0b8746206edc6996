-- Starts an attempt, or returns nil if there is nothing to do.
-- call: {id, worker, now, lease, ttl, max_starts, failure, max_dead}
local call = cjson.decode(ARGV[1])
local id, worker, now = call.id, call.worker, time_of(call.now)
local state, leader, holder = get(id, 'state', 'leader', 'worker')
if state == 'generating' then
  local until_when = redis.call('ZSCORE', 'running', id)
  if tonumber(until_when) > tonumber(now) and holder ~= worker then
    return nil
  end
elseif state ~= 'queued' or leader then
  return nil
end
if settle(id, now, call) then
  return nil
end

leave_place(id)
forget_run(id)
-- the fence grows with each start, also past the numbers of runs that were transferred to this session
local fence = redis.call('HINCRBY', 'session:' .. id, 'fence', 1)
redis.call('HINCRBY', 'session:' .. id, 'starts', 1)
set(id, 'state', 'generating', 'attempt', fence, 'started_at', now, 'worker', worker)
redis.call('ZADD', 'running', later(now, call.lease), id)
note_length(id)
lead(id)
send_event_to_all(id, now)
return view(id)
