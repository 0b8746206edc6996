-- Ended sessions whose callback is not queued yet. Expired ones are removed.
local limit = ARGV[1]
local found = {}
for _, id in ipairs(redis.call('ZRANGE', 'unannounced', 0, limit - 1)) do
  if redis.call('EXISTS', 'session:' .. id) == 1 then
    found[#found + 1] = view(id)
  else
    redis.call('ZREM', 'unannounced', id)
  end
end
return found
