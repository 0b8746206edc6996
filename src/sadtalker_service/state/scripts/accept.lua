-- Accepts a session. It is ready at once, waits behind an equal one, or waits in its lane.
-- call: {id, base, lane, key, image, owner, engine, seconds, queued_at, callback, now, max_waiting, ttl, result_ttl}
local call = cjson.decode(ARGV[1])
local id, key, lane, image = call.id, call.key, call.lane, call.image
local now = time_of(call.now)
if redis.call('EXISTS', 'session:' .. id) == 1 then -- the reply to the first call was lost
  return { 'accepted', view(id) }
end
if redis.call('SISMEMBER', 'avatar_owners:' .. image, call.owner) == 0 then
  return { 'gone' }
end

local place, leader = destination(key, lane, call.max_waiting)
if place == 'full' then
  return { 'full' }
end

set(id, 'base', call.base, 'state', 'queued', 'lane', lane, 'result_key', key, 'image_id', image,
  'owner', call.owner, 'engine', call.engine, 'seconds', call.seconds, 'queued_at', call.queued_at,
  'callback', call.callback, 'attempt', '0', 'starts', '0', 'fence', '0', 'seq', redis.call('INCR', 'sequence'))
redis.call('SADD', 'image_sessions:' .. image, id)
count('accepted:' .. lane)

if place == 'ready' then
  set(id, 'outcome', redis.call('HGET', 'result:' .. key, 'outcome'), 'reused', '1')
  count('reused')
  redis.call('PEXPIRE', 'result:' .. key, call.result_ttl)
  close(id, 'ready', now, call.ttl)
elseif place == 'behind' then
  place_behind(id, leader)
  send_event(id, event_of(leader, now))
else
  place_in_lane(id, now)
  lead(id)
  send_event(id, event_of(id, now))
end
return { 'accepted', view(id) }
