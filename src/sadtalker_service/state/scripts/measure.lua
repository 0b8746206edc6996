-- Adds a video to the figures of its kind of request.
-- call: {kind, lane, seconds, video_seconds, saved, bucket, engine, weight, kept}
local call = cjson.decode(ARGV[1])
local hash, recent = 'stats:kind:' .. call.kind, 'stats:recent:' .. call.kind
redis.call('HINCRBY', hash, 'count', 1)
redis.call('HINCRBY', hash, 'count:' .. call.lane, 1)
redis.call('HINCRBYFLOAT', hash, 'seconds', call.seconds)
redis.call('HINCRBYFLOAT', hash, 'video_seconds', call.video_seconds)
redis.call('HINCRBYFLOAT', hash, 'saved_seconds', call.saved)
redis.call('LPUSH', recent, call.seconds)
redis.call('LTRIM', recent, 0, call.kept - 1)
if call.engine == '' then
  return 1
end
redis.call('HINCRBY', 'stats:distribution', call.bucket, 1)
if tonumber(call.video_seconds) > 0 then
  local rate = tonumber(call.seconds) / tonumber(call.video_seconds)
  local known = redis.call('HGET', 'stats:rates', call.engine)
  if known then
    rate = tonumber(known) + tonumber(call.weight) * (rate - tonumber(known))
  end
  redis.call('HSET', 'stats:rates', call.engine, tostring(rate))
end
return 1
