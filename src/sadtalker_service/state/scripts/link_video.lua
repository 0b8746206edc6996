-- Records that a video is about to be published, so that the deletion of its avatar includes it.
local image, key = unpack(ARGV)
if redis.call('EXISTS', 'avatar_modes:' .. image) == 0 then
  return 0
end
redis.call('SADD', 'avatar_videos:' .. image, key)
redis.call('SREM', 'videos_to_remove', key) -- it is rendered again
redis.call('SET', 'video_of:' .. key, image)
return 1
