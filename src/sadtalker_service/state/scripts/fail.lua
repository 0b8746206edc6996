-- A run has ended without a video. how: 'cancelled', 'retry' (followers may succeed) or 'alike' (they will not)
local id, attempt, given, failure, how, ttl = unpack(ARGV)
local owner = session_of_run(id, attempt, ttl)
if not owner then
  return 0
end
local now = time_of(given)
local flagged = get(owner, 'cancel')
if flagged or how == 'cancelled' or avatar_is_gone(owner) then
  cancel_leader(owner, now, ttl)
  return 1
end
set(owner, 'failure', failure)
if how == 'retry' then
  local heir = promote_successor(owner)
  close(owner, 'failed', now, ttl)
  if heir then
    tell_all(heir, now)
  end
else
  close_all(owner, 'failed', now, ttl)
end
return 1
