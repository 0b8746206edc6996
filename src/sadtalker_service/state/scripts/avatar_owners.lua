-- Owners of an avatar, sorted.
local owners = redis.call('SMEMBERS', 'avatar_owners:' .. ARGV[1])
table.sort(owners)
return owners
