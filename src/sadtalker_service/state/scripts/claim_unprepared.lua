-- Avatars in preparation of which nothing was heard since a time; they count as heard of now.
local since, now = unpack(ARGV)
local found = redis.call('ZRANGEBYSCORE', 'preparing', '-inf', since)
for _, name in ipairs(found) do
  redis.call('ZADD', 'preparing', now, name)
end
return found
