-- Takes a lock, or extends it. Returns 0 if another process holds it.
local key, token, ms = unpack(ARGV)
local holder = redis.call('GET', key)
if holder and holder ~= token then
  return 0
end
redis.call('SET', key, token, 'PX', ms)
return 1
