-- Takes a session on: ready at once, behind an equal one, or waiting.
local id, base, lane, key, image, owner, engine, seconds = unpack(ARGV)
local queued_at, callback, given, max_waiting, ttl, result_ttl = unpack(ARGV, 9)
local now = time_of(given)
if redis.call('EXISTS', 'session:' .. id) == 1 then -- the answer to the first sending was lost
  return { 'accepted', view(id) }
end
if redis.call('SISMEMBER', 'avatar_owners:' .. image, owner) == 0 then
  return { 'gone' }
end

local place, leader = destination(key, lane, max_waiting)
if place == 'full' then
  return { 'full' }
end

set(id, 'base', base, 'state', 'queued', 'lane', lane, 'result_key', key, 'image_id', image, 'owner', owner,
  'engine', engine, 'seconds', seconds, 'queued_at', queued_at, 'callback', callback, 'attempt', '0',
  'starts', '0', 'fence', '0', 'seq', redis.call('INCR', 'sequence'))
redis.call('SADD', 'image_sessions:' .. image, id)
count('accepted:' .. lane)

if place == 'ready' then
  set(id, 'outcome', redis.call('HGET', 'result:' .. key, 'outcome'), 'reused', '1')
  count('reused')
  redis.call('PEXPIRE', 'result:' .. key, result_ttl)
  close(id, 'ready', now, ttl)
elseif place == 'behind' then
  place_behind(id, leader)
  tell(id, event_of(leader, now))
else
  place_in_lane(id, now)
  lead(id)
  tell(id, event_of(id, now))
end
return { 'accepted', view(id) }
