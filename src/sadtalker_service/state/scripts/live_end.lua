-- Ends a session, with its last figures (JSON) if its worker knows them. 0 if it has ended before, or is unknown.
local id, reason, figures, kept = unpack(ARGV)
if figures ~= '' and redis.call('EXISTS', 'live_session:' .. id) == 1 then
  redis.call('HSET', 'live_session:' .. id, 'figures', figures)
end
return end_live(id, reason, kept) and 1 or 0
