-- Forgets an avatar in every mode: {names of its videos}, nil for an unknown one. Its sessions cannot become
-- ready any more: whatever they do next ends them.
local image = ARGV[1]
local modes = redis.call('SMEMBERS', 'avatar_modes:' .. image)
if #modes == 0 then
  return nil
end
for _, mode in ipairs(modes) do
  redis.call('DEL', 'avatar:' .. image .. ':' .. mode)
  redis.call('ZREM', 'avatars', image .. ':' .. mode)
  redis.call('ZREM', 'preparing', image .. ':' .. mode)
end
local videos = redis.call('SMEMBERS', 'avatar_videos:' .. image)
for _, key in ipairs(videos) do
  redis.call('DEL', 'result:' .. key, 'video_of:' .. key)
end
redis.call('DEL', 'avatar_modes:' .. image, 'avatar_videos:' .. image)
return videos
