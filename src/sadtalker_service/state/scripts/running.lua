-- {id, owner, ...} of the sessions that run, the one whose lease ends first first.
local found = {}
for _, id in ipairs(redis.call('ZRANGE', 'running', 0, -1)) do
  found[#found + 1] = id
  found[#found + 1] = owner_of(id)
end
return found
