-- Notes how far a run is; tells it when the stage is another one, or some time after it was told last.
local id, attempt, given, stage, moment, pause, ttl = unpack(ARGV)
local owner = session_of_run(id, attempt, ttl)
if not owner then
  return 0
end
local now = time_of(given)
local told_at, told_stage = get(owner, 'told_at', 'told_stage')
set(owner, 'moment', moment)
if not told_at or told_stage ~= stage or tonumber(now) - tonumber(told_at) >= tonumber(pause) then
  set(owner, 'told_at', now, 'told_stage', stage)
  tell_all(owner, now)
end
return 1
