-- Gives avatars without an owner, from an earlier version, and their videos to one owner. Returns their number.
local owner = ARGV[1]
local adopted = {}
local count = 0
local known = redis.call('ZRANGE', 'avatars', 0, -1, 'WITHSCORES')
for index = 1, #known, 2 do
  local name, uploaded_at = known[index], known[index + 1]
  local image = string.match(name, '^(.*):')
  if adopted[image] or redis.call('EXISTS', 'avatar_owners:' .. image) == 0 then
    if not adopted[image] then
      adopted[image] = true
      redis.call('SADD', 'avatar_owners:' .. image, owner)
      for _, key in ipairs(redis.call('SMEMBERS', 'avatar_videos:' .. image)) do
        redis.call('SADD', 'video_owners:' .. key, owner)
      end
    end
    redis.call('ZADD', 'avatars:' .. owner, uploaded_at, name)
    count = count + 1
  end
end
return count
