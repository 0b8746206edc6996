-- {number of waiting sessions, when the first was accepted} of each lane
local loads = {}
for _, lane in ipairs(ARGV) do
  local first = redis.call('ZRANGE', 'waiting:' .. lane, 0, 0)[1]
  loads[#loads + 1] = { redis.call('ZCARD', 'waiting:' .. lane), first and get(first, 'queued_at') or '' }
end
return loads
