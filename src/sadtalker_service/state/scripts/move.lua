-- Stores the progress of a run. Sends an event if the stage has changed, or some time after the last event.
-- call: {id, attempt, now, stage, moment, pause, ttl}
local call = cjson.decode(ARGV[1])
local owner = session_of_run(call.id, call.attempt, call.ttl)
if not owner then
  return 0
end
local now = time_of(call.now)
local told_at, told_stage = get(owner, 'told_at', 'told_stage')
set(owner, 'moment', call.moment)
if not told_at or told_stage ~= call.stage or tonumber(now) - tonumber(told_at) >= tonumber(call.pause) then
  set(owner, 'told_at', now, 'told_stage', call.stage)
  send_event_to_all(owner, now)
end
return 1
