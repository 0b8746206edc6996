-- Ends a session that waits or follows, or one that others wait for. Marks one that runs for itself alone.
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
    stop_leading(id) -- later equal requests are worked on separately
  end
end
return view(id)
