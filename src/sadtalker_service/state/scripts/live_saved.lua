-- Records what has become of the recording of a session (JSON). 0 if the session is unknown.
local id, recording = unpack(ARGV)
local key = 'live_session:' .. id
if redis.call('EXISTS', key) == 0 then
  return 0
end
redis.call('HSET', key, 'recording', recording)
return 1
