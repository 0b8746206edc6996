-- Takes an avatar from one of its owners. Returns nil if it was not theirs, 1 if it has no other owner (delete_avatar
-- must follow), 0 if other owners keep it. In the last case the modes and videos that only this owner had are
-- deleted here, and the files of these videos are listed in videos_to_remove.
local image, owner = unpack(ARGV)
local owners = 'avatar_owners:' .. image
local was_theirs = redis.call('SREM', owners, owner) == 1
if not was_theirs and redis.call('SISMEMBER', 'deleting:' .. image, owner) == 0 then
  return nil
end
local others = redis.call('SMEMBERS', owners)
if #others == 0 then
  redis.call('SADD', 'deleting:' .. image, owner) -- after an interruption it may be requested again
  return 1
end
redis.call('SREM', 'deleting:' .. image, owner)
for _, mode in ipairs(redis.call('SMEMBERS', 'avatar_modes:' .. image)) do
  local name, shared = image .. ':' .. mode, false
  for _, other in ipairs(others) do
    shared = shared or redis.call('ZSCORE', 'avatars:' .. other, name)
  end
  if redis.call('ZREM', 'avatars:' .. owner, name) == 1 and not shared then
    redis.call('DEL', 'avatar:' .. name)
    redis.call('SREM', 'avatar_modes:' .. image, mode)
    redis.call('ZREM', 'avatars', name)
    redis.call('ZREM', 'preparing', name)
  end
end
for _, key in ipairs(redis.call('SMEMBERS', 'avatar_videos:' .. image)) do
  local had = redis.call('SREM', 'video_owners:' .. key, owner) == 1
  if had and redis.call('SCARD', 'video_owners:' .. key) == 0 then
    redis.call('DEL', 'result:' .. key)
    redis.call('SADD', 'videos_to_remove', key)
  end
end
return 0
