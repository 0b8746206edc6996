-- Due callbacks. No other caller gets them before the claim ends.
local now, claim_until, limit = unpack(ARGV)
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', 'callbacks', '-inf', now, 'LIMIT', 0, limit)) do
  local text = redis.call('GET', 'callback:' .. id)
  if text then
    redis.call('ZADD', 'callbacks', claim_until, id)
    found[#found + 1] = text
  else
    redis.call('ZREM', 'callbacks', id)
  end
end
return found
