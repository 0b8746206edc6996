-- Adds an avatar for an owner. Returns {its JSON, 1 if that is the given one, when the owner uploaded it}. The given
-- JSON is stored if there was no avatar, or if the stored one equals `failed`, a failed avatar to be replaced.
-- beside: '1' to add it only if the owner has the source image in another mode.
-- call: {image, slot, json, uploaded_at, failed, beside, owner}
local call = cjson.decode(ARGV[1])
local image, uploaded_at, owner = call.image, call.uploaded_at, call.owner
local name, owners = image .. ':' .. call.slot, 'avatar_owners:' .. image
local key = 'avatar:' .. name
if call.beside == '1' and redis.call('SISMEMBER', owners, owner) == 0 then
  return { call.json, 0, uploaded_at }
end
redis.call('SADD', owners, owner)
redis.call('SREM', 'deleting:' .. image, owner)
local known = redis.call('GET', key)
if known and known ~= call.failed then
  redis.call('ZADD', 'avatars:' .. owner, 'NX', uploaded_at, name)
  return { known, 0, redis.call('ZSCORE', 'avatars:' .. owner, name) }
end
redis.call('ZADD', 'avatars:' .. owner, uploaded_at, name)
redis.call('SET', key, call.json)
redis.call('SADD', 'avatar_modes:' .. image, call.slot)
redis.call('ZADD', 'avatars', uploaded_at, name)
redis.call('ZADD', 'preparing', uploaded_at, name)
return { call.json, 1, uploaded_at }
