-- Claims an idempotency key: {'new'}, {'busy'}, {'other'} or {'done', session id}
local key, fingerprint, token, flight = unpack(ARGV)
local known, owner, session = unpack(redis.call('HMGET', key, 'fingerprint', 'token', 'session'))
if not known then
  redis.call('HSET', key, 'fingerprint', fingerprint, 'token', token)
  redis.call('PEXPIRE', key, flight)
  return { 'new' }
end
if known ~= fingerprint then
  return { 'other' }
end
if session then
  return { 'done', session }
end
return { owner == token and 'new' or 'busy' } -- the same token: sent again after a lost answer
