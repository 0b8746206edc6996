-- Ends a session that waits or follows, or one whose work others wait for; flags one that runs for itself.
local id, given, ttl = unpack(ARGV)
local now = time_of(given)
local state = get(id, 'state')
if not state then
  return nil
end
if state == 'queued' then
  cancel_leader(id, now, ttl) -- a waiter has no waiters of its own
elseif state == 'generating' then
  if transfer_run(id) then
    close(id, 'cancelled', now, ttl)
  else
    set(id, 'cancel', '1')
    stop_leading(id) -- equal requests that come now are worked on for themselves
  end
end
return view(id)
