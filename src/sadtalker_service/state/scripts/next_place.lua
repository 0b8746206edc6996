-- Data to estimate when a lane has room: {seconds of work of its average session, live workers}. The seconds are ''
-- if nothing has been measured.
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
