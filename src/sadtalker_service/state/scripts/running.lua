-- {id, owner, ...} of the running sessions, sorted by the end of their lease.
local found = {}
for _, id in ipairs(redis.call('ZRANGE', 'running', 0, -1)) do
  found[#found + 1] = id
  found[#found + 1] = owner_of(id)
end
return found
