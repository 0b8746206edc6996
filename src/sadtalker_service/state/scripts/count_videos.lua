-- Number of the kept videos of a portrait, those of one owner.
local image, owner = unpack(ARGV)
local count = 0
for _, key in ipairs(redis.call('SMEMBERS', 'avatar_videos:' .. image)) do
  count = count + redis.call('SISMEMBER', 'video_owners:' .. key, owner)
end
return count
