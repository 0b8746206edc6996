-- Returns 1 if the file of a video must be removed, because it has no owner and is not being rendered again. Then all
-- records of the video are deleted.
local key = ARGV[1]
if redis.call('SISMEMBER', 'videos_to_remove', key) == 0 then
  return 0
end
local image = redis.call('GET', 'video_of:' .. key)
if image then
  redis.call('SREM', 'avatar_videos:' .. image, key)
end
redis.call('DEL', 'video_of:' .. key, 'video_owners:' .. key, 'result:' .. key)
return 1
