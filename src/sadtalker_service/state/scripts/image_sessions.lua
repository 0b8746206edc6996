-- Ids of the unfinished sessions of a source image that belong to an owner. An empty owner stands for all owners.
local image, owner = unpack(ARGV)
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', 'image_sessions:' .. image)) do
  if owner == '' or owner_of(id) == owner then
    found[#found + 1] = id
  end
end
return found
