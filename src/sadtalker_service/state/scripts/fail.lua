-- A run has ended without a video. how: 'cancelled', 'retry' (waiters may succeed) or 'alike' (they fail too)
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
  local successor = promote_waiter(owner)
  close(owner, 'failed', now, ttl)
  if successor then
    send_event_to_all(successor, now)
  end
else
  close_all(owner, 'failed', now, ttl)
end
return 1
