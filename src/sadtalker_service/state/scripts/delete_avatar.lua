-- Forgets an avatar in every mode: {names of its videos}, nil for an unknown one. Its sessions cannot become
-- ready any more: whatever they do next ends them. The list of videos stays until their files are removed.
local image = ARGV[1]
local modes = redis.call('SMEMBERS', 'avatar_modes:' .. image)
local videos = redis.call('SMEMBERS', 'avatar_videos:' .. image)
if #modes == 0 and #videos == 0 then
  return nil
end
for _, mode in ipairs(modes) do
  redis.call('DEL', 'avatar:' .. image .. ':' .. mode)
  redis.call('ZREM', 'avatars', image .. ':' .. mode)
  redis.call('ZREM', 'preparing', image .. ':' .. mode)
end
redis.call('DEL', 'avatar_modes:' .. image)
for _, key in ipairs(videos) do
  redis.call('DEL', 'result:' .. key)
end
redis.call('SADD', 'to_forget', image)
return videos
