-- Adds an avatar, or one that had failed again: {its JSON, 1 if it is the given one}
local image, mode, json, uploaded_at, retry = unpack(ARGV)
local key = 'avatar:' .. image .. ':' .. mode
local known = redis.call('GET', key)
if known and known ~= retry then
  return { known, 0 }
end
redis.call('SET', key, json)
redis.call('SADD', 'avatar_modes:' .. image, mode)
redis.call('ZADD', 'avatars', uploaded_at, image .. ':' .. mode)
redis.call('ZADD', 'preparing', uploaded_at, image .. ':' .. mode)
return { json, 1 }
