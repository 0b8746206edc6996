-- JSON of an avatar in every mode, sorted by mode.
local image = ARGV[1]
local modes = redis.call('SMEMBERS', 'avatar_modes:' .. image)
table.sort(modes)
local found = {}
for index, mode in ipairs(modes) do
  found[index] = redis.call('GET', 'avatar:' .. image .. ':' .. mode)
end
return found
