-- Records that the session of an idempotency key exists.
local key, token, kept = unpack(ARGV)
local owner = redis.call('HGET', key, 'token')
if owner ~= token then
  return 0
end
redis.call('HSET', key, 'done', '1')
redis.call('PEXPIRE', key, kept)
return 1
