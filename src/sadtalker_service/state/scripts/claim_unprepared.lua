-- Avatars in preparation without progress since the given time. They count as active from now on.
local since, now = unpack(ARGV)
local found = redis.call('ZRANGEBYSCORE', 'preparing', '-inf', since)
for _, name in ipairs(found) do
  redis.call('ZADD', 'preparing', now, name)
end
return found
