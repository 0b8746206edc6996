-- Claims an idempotency key. Returns {'new', session id to use}, {'busy', ms until the claim ends}, {'other'} or
-- {'done', session id}. A claim ends with its lease, but its session may have been accepted before.
local key, fingerprint, token, lease, kept, candidate = unpack(ARGV)
local known, owner, session, lease_end, done =
  unpack(redis.call('HMGET', key, 'fingerprint', 'token', 'session', 'lease_end', 'done'))
local now = tonumber(time_of('')) * 1000
if known then
  local left = tonumber(lease_end) - now
  local held = not done and left > 0 and owner ~= token -- the same token is a repeat after a lost reply
  local accepted = redis.call('EXISTS', 'session:' .. session) == 1
  if held or accepted then
    if known ~= fingerprint then
      return { 'other' }
    end
    if held then
      return { 'busy', tostring(math.ceil(left)) }
    end
    redis.call('HSET', key, 'done', '1')
    return { 'done', session }
  end
  if known == fingerprint and not done then
    candidate = session -- the earlier process may only be slow, so both use one session
  end
  redis.call('HDEL', key, 'done')
end
redis.call('HSET', key, 'fingerprint', fingerprint, 'token', token, 'session', candidate, 'lease_end',
  string.format('%.0f', now + tonumber(lease)))
redis.call('PEXPIRE', key, kept)
return { 'new', candidate }
