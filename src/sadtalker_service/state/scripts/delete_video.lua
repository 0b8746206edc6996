-- Forgets a finished video.
local key = ARGV[1]
local image = redis.call('GET', 'video_of:' .. key)
if image then
  redis.call('SREM', 'avatar_videos:' .. image, key)
end
redis.call('DEL', 'video_of:' .. key, 'video_owners:' .. key)
redis.call('SREM', 'videos_to_remove', key)
return redis.call('DEL', 'result:' .. key)
