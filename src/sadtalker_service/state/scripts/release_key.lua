-- Frees an idempotency key whose request became nothing.
local key, fingerprint = unpack(ARGV)
local known, session = unpack(redis.call('HMGET', key, 'fingerprint', 'session'))
if known == fingerprint and not session then
  return redis.call('DEL', key)
end
return 0
