-- The current state of a session.
local id = ARGV[1]
return redis.call('EXISTS', 'session:' .. id) == 1 and view(id) or nil
