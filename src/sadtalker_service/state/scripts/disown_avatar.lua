-- Takes an avatar from one of its owners: nil where it was not theirs, 1 where it is nobody else's (delete_avatar
-- is to follow), 0 where others keep it. In that case what was this owner's alone is forgotten here; the files
-- of such videos are named in videos_to_remove.
local image, owner = unpack(ARGV)
local owners = 'avatar_owners:' .. image
local was_theirs = redis.call('SREM', owners, owner) == 1
if not was_theirs and redis.call('SISMEMBER', 'deleting:' .. image, owner) == 0 then
  return nil
end
local others = redis.call('SMEMBERS', owners)
if #others == 0 then
  redis.call('SADD', 'deleting:' .. image, owner) -- broken off, it may be asked for again
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
