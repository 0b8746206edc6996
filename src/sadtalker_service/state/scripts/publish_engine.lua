-- Pins up an engine's card. Cards that no worker has pinned up for long are taken down: as long as nobody pins
-- anything up, all of them stay, so that requests are taken on while the workers are started again.
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
