-- A video is about to be published: whoever deletes its avatar will find it.
local image, key = unpack(ARGV)
if redis.call('EXISTS', 'avatar_modes:' .. image) == 0 then
  return 0
end
redis.call('SADD', 'avatar_videos:' .. image, key)
redis.call('SREM', 'videos_to_remove', key) -- it is made anew
redis.call('SET', 'video_of:' .. key, image)
return 1
