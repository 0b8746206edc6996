-- Starts an attempt, or finds that there is nothing to do.
local id, worker, given, lease, ttl, max_starts, failure, max_dead = unpack(ARGV)
local now = time_of(given)
local state, leader, holder = get(id, 'state', 'leader', 'worker')
if state == 'generating' then
  local until_when = redis.call('ZSCORE', 'running', id)
  if tonumber(until_when) > tonumber(now) and holder ~= worker then
    return nil
  end
elseif state ~= 'queued' or leader then
  return nil
end
if settle(id, now, { ttl = ttl, max_starts = max_starts, failure = failure, max_dead = max_dead }) then
  return nil
end

leave_place(id)
forget_run(id)
-- the fence grows with each start, also past the numbers of runs that this one took over from others
local fence = redis.call('HINCRBY', 'session:' .. id, 'fence', 1)
redis.call('HINCRBY', 'session:' .. id, 'starts', 1)
set(id, 'state', 'generating', 'attempt', fence, 'started_at', now, 'worker', worker)
redis.call('ZADD', 'running', later(now, lease), id)
note_length(id)
lead(id)
tell_all(id, now)
return view(id)
