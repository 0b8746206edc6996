-- Extends the lease of a claim. Returns 0 if it belongs to another request by now, or is complete.
local key, token, lease = unpack(ARGV)
local owner, done = unpack(redis.call('HMGET', key, 'token', 'done'))
if owner ~= token or done then
  return 0
end
redis.call('HSET', key, 'lease_end', string.format('%.0f', tonumber(time_of('')) * 1000 + tonumber(lease)))
return 1
