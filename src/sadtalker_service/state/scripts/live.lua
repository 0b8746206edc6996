-- Shared functions of live sessions. A session that has not ended has a lease on a slot of its worker: its entry in
-- live_leases:{worker}, with the time at which the lease ends. Its worker extends the lease.

-- Ends a session and frees its slot. False if it has ended before.
local function end_live(id, reason, kept)
  local key = 'live_session:' .. id
  local state, worker = unpack(redis.call('HMGET', key, 'state', 'worker'))
  if not state or state == 'closed' then
    return false
  end
  redis.call('HSET', key, 'state', 'closed', 'reason', reason, 'ended_at', time_of(''))
  redis.call('ZREM', 'live_leases:' .. worker, id)
  redis.call('PEXPIRE', key, kept)
  return true
end

-- Ends the sessions of a worker whose leases are over.
local function end_overdue(worker, now, kept)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'live_leases:' .. worker, '-inf', now)) do
    local state = redis.call('HGET', 'live_session:' .. id, 'state')
    if not end_live(id, state == 'waiting' and 'never_connected' or 'worker_lost', kept) then
      redis.call('ZREM', 'live_leases:' .. worker, id)
    end
  end
end

-- The fields of a session, after it was ended if its lease is over. Empty if it is unknown.
local function live_fields(id, kept)
  local worker = redis.call('HGET', 'live_session:' .. id, 'worker')
  if worker then
    end_overdue(worker, time_of(''), kept)
  end
  return redis.call('HGETALL', 'live_session:' .. id)
end
