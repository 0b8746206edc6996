-- When a place in a lane becomes free: {seconds of work for the average session in it, living workers}
-- Seconds are '' where nothing has been measured.
local lane, max_age = unpack(ARGV)
local first = redis.call('ZRANGE', 'waiting:' .. lane, 0, 19) -- enough for an average
local work, known = 0, 0
for _, id in ipairs(first) do
  local seconds, engine = get(id, 'seconds', 'engine')
  local rate = engine and redis.call('HGET', 'stats:rates', engine)
  if rate then
    work, known = work + tonumber(rate) * tonumber(seconds), known + 1
  end
end
local alive = redis.call('ZCOUNT', 'workers:rendering', later(time_of(''), -max_age), '+inf')
return { known > 0 and tostring(work / known) or '', alive }
