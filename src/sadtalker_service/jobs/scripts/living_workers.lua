-- {name, JSON, seen at, ...} of the workers heard of lately; the others are forgotten.
local max_age = ARGV[1]
local earliest = later(time_of(''), -max_age)
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', 'workers:seen', '-inf', '(' .. earliest)) do
  redis.call('HDEL', 'workers', name)
  redis.call('ZREM', 'workers:seen', name)
  redis.call('ZREM', 'workers:rendering', name)
end
for _, name in ipairs(redis.call('ZRANGE', 'workers:seen', 0, -1)) do
  local json = redis.call('HGET', 'workers', name)
  if json then
    found[#found + 1] = name
    found[#found + 1] = json
    found[#found + 1] = redis.call('ZSCORE', 'workers:seen', name)
  end
end
return found
