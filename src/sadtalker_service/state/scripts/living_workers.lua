-- {name, JSON, time of heartbeat, ...} of the live workers. Workers that are long dead are deleted.
local max_age, forget_after = unpack(ARGV)
local now = time_of('')
for _, name in ipairs(redis.call('ZRANGEBYSCORE', 'workers:seen', '-inf', later(now, -forget_after))) do
  redis.call('HDEL', 'workers', name)
  redis.call('ZREM', 'workers:seen', name)
  redis.call('ZREM', 'workers:rendering', name)
end
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', 'workers:seen', later(now, -max_age), '+inf')) do
  found[#found + 1] = name
  found[#found + 1] = redis.call('HGET', 'workers', name)
  found[#found + 1] = redis.call('ZSCORE', 'workers:seen', name)
end
return found
