-- Extends the lease of a session for its worker, with its state and figures (JSON).
-- Returns {state, reason}: closed if it was ended elsewhere, or its avatar was deleted. Empty if it is unknown.
local id, worker, state, figures, lease, kept = unpack(ARGV)
local key = 'live_session:' .. id
local held_by, current, owner, image = unpack(redis.call('HMGET', key, 'worker', 'state', 'owner', 'image'))
if not current or held_by ~= worker then
  return {}
end
if current ~= 'closed' and redis.call('SISMEMBER', 'avatar_owners:' .. image, owner) == 0 then
  end_live(id, 'avatar_deleted', kept)
  current = 'closed'
end
if current == 'closed' then
  return { current, redis.call('HGET', key, 'reason') }
end
redis.call('HSET', key, 'state', state, 'figures', figures)
redis.call('ZADD', 'live_leases:' .. worker, later(time_of(''), lease), id)
redis.call('PEXPIRE', key, math.floor(1000 * lease + kept))
return { state, '' }
