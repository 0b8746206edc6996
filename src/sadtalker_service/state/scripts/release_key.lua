-- Frees an idempotency key whose request failed. If its session was accepted before the failure, the key stays, and a
-- repeated request gets that session.
local key, token = unpack(ARGV)
local owner, done, session = unpack(redis.call('HMGET', key, 'token', 'done', 'session'))
if owner == token and not done then
  if redis.call('EXISTS', 'session:' .. session) == 1 then
    redis.call('HSET', key, 'done', '1')
    return 0
  end
  return redis.call('DEL', key)
end
return 0
