-- Records the facts (JSON) of a live worker at the server's time. Forgets workers that are long dead.
local name, facts, forget_after = unpack(ARGV)
local now = time_of('')
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', 'live_workers:seen', '-inf', later(now, -forget_after))) do
  redis.call('HDEL', 'live_workers', dead)
  redis.call('ZREM', 'live_workers:seen', dead)
end
redis.call('HSET', 'live_workers', name, facts)
redis.call('ZADD', 'live_workers:seen', now, name)
return 1
