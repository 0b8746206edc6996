-- Extends the lease of a claim; 0 where it belongs to another request by now, or has been answered.
local key, token, lease = unpack(ARGV)
local owner, done = unpack(redis.call('HMGET', key, 'token', 'done'))
if owner ~= token or done then
  return 0
end
redis.call('HSET', key, 'lease_end', string.format('%.0f', tonumber(time_of('')) * 1000 + tonumber(lease)))
return 1
