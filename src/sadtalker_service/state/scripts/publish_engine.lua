-- Publishes an engine. Engines that no worker has published for long are deleted. While no worker publishes anything,
-- all stay, so that requests are accepted during a restart of the workers.
local name, card, default, forget_after = unpack(ARGV)
local now = time_of('')
redis.call('HSET', 'engines', name, card)
redis.call('ZADD', 'engines:seen', now, name)
if default == '1' then redis.call('SET', 'engine:default', name) end
local oldest = tonumber(later(now, -forget_after))
for _, other in ipairs(redis.call('HKEYS', 'engines')) do
  if (tonumber(redis.call('ZSCORE', 'engines:seen', other) or 0)) < oldest then
    redis.call('HDEL', 'engines', other)
    redis.call('ZREM', 'engines:seen', other)
  end
end
return 1
