-- Notes what the request of an idempotency key became.
local key, fingerprint, session, ttl = unpack(ARGV)
local known = redis.call('HGET', key, 'fingerprint')
if known and known ~= fingerprint then
  return 0
end
redis.call('HSET', key, 'fingerprint', fingerprint, 'session', session)
redis.call('PEXPIRE', key, ttl)
return 1
