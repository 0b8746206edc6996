-- Records a heartbeat. The server sets the time, so that workers and readers share one clock.
local name, json, renders = unpack(ARGV)
local now = time_of('')
redis.call('HSET', 'workers', name, json)
redis.call('ZADD', 'workers:seen', now, name)
if renders == '1' then
  redis.call('ZADD', 'workers:rendering', now, name)
else
  redis.call('ZREM', 'workers:rendering', name)
end
return 1
