-- Adds a video to the figures of its kind of request.
local kind, lane, seconds, video_seconds, saved, bucket, engine, weight, kept = unpack(ARGV)
local hash = 'stats:kind:' .. kind
redis.call('HINCRBY', hash, 'count', 1)
redis.call('HINCRBY', hash, 'count:' .. lane, 1)
redis.call('HINCRBYFLOAT', hash, 'seconds', seconds)
redis.call('HINCRBYFLOAT', hash, 'video_seconds', video_seconds)
redis.call('HINCRBYFLOAT', hash, 'saved_seconds', saved)
redis.call('LPUSH', 'stats:recent:' .. kind, seconds)
redis.call('LTRIM', 'stats:recent:' .. kind, 0, kept - 1)
if engine == '' then
  return 1
end
redis.call('HINCRBY', 'stats:distribution', bucket, 1)
if tonumber(video_seconds) > 0 then
  local rate = tonumber(seconds) / tonumber(video_seconds)
  local known = redis.call('HGET', 'stats:rates', engine)
  if known then
    rate = tonumber(known) + tonumber(weight) * (rate - tonumber(known))
  end
  redis.call('HSET', 'stats:rates', engine, tostring(rate))
end
return 1
