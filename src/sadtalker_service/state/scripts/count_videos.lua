-- Number of stored videos of a source image that belong to an owner.
local image, owner = unpack(ARGV)
local count = 0
for _, key in ipairs(redis.call('SMEMBERS', 'avatar_videos:' .. image)) do
  count = count + redis.call('SISMEMBER', 'video_owners:' .. key, owner)
end
return count
