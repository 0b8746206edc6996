-- Whether a request with this result would be accepted now.
local key, lane, max_waiting = unpack(ARGV)
return destination(key, lane, max_waiting) ~= 'full' and 1 or 0
