-- Replaces an avatar's JSON if it is still the one that was read. Returns 1, or 0 if it has changed since.
local image, mode, old, new, preparing_since = unpack(ARGV)
local key = 'avatar:' .. image .. ':' .. mode
if redis.call('GET', key) ~= old then
  return 0
end
redis.call('SET', key, new)
if preparing_since == '' then
  redis.call('ZREM', 'preparing', image .. ':' .. mode)
else
  redis.call('ZADD', 'preparing', preparing_since, image .. ':' .. mode)
end
return 1
