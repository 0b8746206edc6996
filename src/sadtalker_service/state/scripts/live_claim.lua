-- Claims a slot for a new session on the live worker with the lowest load.
-- call: {id, owner, token, image, engine, base, lease, max_age, max_load, kept}
-- Returns {'claimed', fields}, {'gone'}, {'none'} without any worker, {'engine'} if none has the engine, or
-- {'full', seconds until the first lease ends}.
local call = cjson.decode(ARGV[1])
local now = time_of('')
if redis.call('EXISTS', 'live_session:' .. call.id) == 1 then -- the reply to the first call was lost
  return { 'claimed', live_fields(call.id, call.kept) }
end
if redis.call('SISMEMBER', 'avatar_owners:' .. call.image, call.owner) == 0 then
  return { 'gone' }
end

local best, best_load, best_share, found
local workers, able, first_end = 0, 0, nil
for _, name in ipairs(redis.call('ZRANGEBYSCORE', 'live_workers:seen', later(now, -call.max_age), '+inf')) do
  local worker = cjson.decode(redis.call('HGET', 'live_workers', name))
  workers = workers + 1
  local has_engine = false
  for _, engine in ipairs(worker.engines) do
    has_engine = has_engine or engine == call.engine
  end
  if has_engine then
    able = able + 1
    end_overdue(name, now, call.kept)
    local taken = redis.call('ZCARD', 'live_leases:' .. name)
    local share = taken / math.max(1, worker.slots)
    local load = tonumber(worker.load)
    if taken < worker.slots and load <= tonumber(call.max_load)
      and (not best or load < best_load or (load == best_load and share < best_share)) then
      best, best_load, best_share, found = name, load, share, worker
    end
    local next_end = redis.call('ZRANGE', 'live_leases:' .. name, 0, 0, 'WITHSCORES')[2]
    if next_end and (not first_end or tonumber(next_end) < first_end) then
      first_end = tonumber(next_end)
    end
  end
end
if workers == 0 then
  return { 'none' }
elseif able == 0 then
  return { 'engine' }
elseif not best then
  return { 'full', tostring((first_end or tonumber(now)) - tonumber(now)) }
end

local key = 'live_session:' .. call.id
redis.call('HSET', key, 'base', call.base, 'owner', call.owner, 'token', call.token, 'image', call.image,
  'state', 'waiting', 'worker', best, 'address', found.address, 'public_url', found.public_url or '',
  'started_at', now)
redis.call('ZADD', 'live_leases:' .. best, later(now, call.lease), call.id)
redis.call('PEXPIRE', key, math.floor(1000 * call.lease + call.kept))
return { 'claimed', live_fields(call.id, call.kept) }
