-- Forgets a finished video.
local key = ARGV[1]
local image = redis.call('GET', 'video_of:' .. key)
if image then
  redis.call('SREM', 'avatar_videos:' .. image, key)
end
return redis.call('DEL', 'result:' .. key, 'video_of:' .. key) > 0 and 1 or 0
