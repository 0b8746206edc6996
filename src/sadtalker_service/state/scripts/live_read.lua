-- The fields of a session; empty if it is unknown.
local id, kept = unpack(ARGV)
return live_fields(id, kept)
