-- Adds an avatar, or one that had failed again: {its JSON, 1 if it is the given one}. failed: the JSON of the
-- failed one that may be replaced. beside: '1' to add it only where the portrait is known in another mode.
local image, mode, json, uploaded_at, failed, beside = unpack(ARGV)
local key = 'avatar:' .. image .. ':' .. mode
local known = redis.call('GET', key)
if known and known ~= failed then
  return { known, 0 }
end
if beside == '1' and redis.call('EXISTS', 'avatar_modes:' .. image) == 0 then
  return { json, 0 }
end
redis.call('SET', key, json)
redis.call('SADD', 'avatar_modes:' .. image, mode)
redis.call('ZADD', 'avatars', uploaded_at, image .. ':' .. mode)
redis.call('ZADD', 'preparing', uploaded_at, image .. ':' .. mode)
return { json, 1 }
