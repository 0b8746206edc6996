-- {name, facts as JSON, number of leases, ...} of the live workers seen lately.
local max_age, kept = unpack(ARGV)
local now = time_of('')
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', 'live_workers:seen', later(now, -max_age), '+inf')) do
  end_overdue(name, now, kept)
  found[#found + 1] = name
  found[#found + 1] = redis.call('HGET', 'live_workers', name)
  found[#found + 1] = redis.call('ZCARD', 'live_leases:' .. name)
end
return found
