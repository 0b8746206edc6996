-- Adds an avatar to those of an owner: {its JSON, 1 if it is the given one, when the owner has uploaded it}. The
-- given one counts where there was none, or one that had failed. failed: the JSON of the failed one that may be
-- replaced. beside: '1' to add it only where the owner has the portrait in another mode.
local image, mode, json, uploaded_at, failed, beside, owner = unpack(ARGV)
local name, owners = image .. ':' .. mode, 'avatar_owners:' .. image
local key = 'avatar:' .. name
if beside == '1' and redis.call('SISMEMBER', owners, owner) == 0 then
  return { json, 0, uploaded_at }
end
redis.call('SADD', owners, owner)
redis.call('SREM', 'deleting:' .. image, owner)
local known = redis.call('GET', key)
if known and known ~= failed then
  redis.call('ZADD', 'avatars:' .. owner, 'NX', uploaded_at, name)
  return { known, 0, redis.call('ZSCORE', 'avatars:' .. owner, name) }
end
redis.call('ZADD', 'avatars:' .. owner, uploaded_at, name)
redis.call('SET', key, json)
redis.call('SADD', 'avatar_modes:' .. image, mode)
redis.call('ZADD', 'avatars', uploaded_at, name)
redis.call('ZADD', 'preparing', uploaded_at, name)
return { json, 1, uploaded_at }
