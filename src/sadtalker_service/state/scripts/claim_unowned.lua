-- Whether the file of a video is to be removed: nobody owns it, and it is not being made anew. Nothing of it is
-- known after that.
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
