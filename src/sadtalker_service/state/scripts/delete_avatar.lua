-- Deletes an avatar in every mode and for every owner. Returns {names of its videos}, nil if it is unknown. Its
-- sessions can no longer become ready; their next change ends them. The list of videos stays until their files are
-- removed.
local image = ARGV[1]
local modes = redis.call('SMEMBERS', 'avatar_modes:' .. image)
local videos = redis.call('SMEMBERS', 'avatar_videos:' .. image)
if #modes == 0 and #videos == 0 then
  return nil
end
local owners = redis.call('SMEMBERS', 'avatar_owners:' .. image)
for _, owner in ipairs(redis.call('SMEMBERS', 'deleting:' .. image)) do
  owners[#owners + 1] = owner
end
for _, mode in ipairs(modes) do
  for _, owner in ipairs(owners) do
    redis.call('ZREM', 'avatars:' .. owner, image .. ':' .. mode)
  end
  redis.call('DEL', 'avatar:' .. image .. ':' .. mode)
  redis.call('ZREM', 'avatars', image .. ':' .. mode)
  redis.call('ZREM', 'preparing', image .. ':' .. mode)
end
redis.call('DEL', 'avatar_modes:' .. image, 'avatar_owners:' .. image)
for _, key in ipairs(videos) do
  redis.call('DEL', 'result:' .. key, 'video_owners:' .. key)
end
redis.call('SADD', 'to_forget', image)
return videos
