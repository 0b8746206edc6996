-- Ids of the sessions with a portrait that have not ended, those of one owner, or of all for an empty one.
local image, owner = unpack(ARGV)
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', 'image_sessions:' .. image)) do
  if owner == '' or owner_of(id) == owner then
    found[#found + 1] = id
  end
end
return found
