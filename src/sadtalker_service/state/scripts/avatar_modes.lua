-- The modes of an avatar that an owner has uploaded, sorted: {JSON, upload time, ...}. An empty owner stands for all
-- owners, and gives no times.
local image, owner = unpack(ARGV)
local modes = redis.call('SMEMBERS', 'avatar_modes:' .. image)
table.sort(modes)
local found = {}
for _, mode in ipairs(modes) do
  local name = image .. ':' .. mode
  local uploaded_at = owner == '' and '' or redis.call('ZSCORE', 'avatars:' .. owner, name)
  if uploaded_at then
    found[#found + 1] = redis.call('GET', 'avatar:' .. name)
    found[#found + 1] = uploaded_at
  end
end
return found
