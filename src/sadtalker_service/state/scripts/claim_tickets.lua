-- Waiting sessions whose ticket was sent long ago or never. From now on they count as sent.
local given, age, limit = unpack(ARGV)
local now = time_of(given)
local latest = age == '' and '0' or later(now, '-' .. age)
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'tickets', '-inf', latest, 'LIMIT', 0, limit)) do
  redis.call('ZADD', 'tickets', now, id)
  found[#found + 1] = view(id)
end
return found
