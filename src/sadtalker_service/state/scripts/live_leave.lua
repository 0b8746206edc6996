-- A live worker restarts or stops, so none of its sessions is carried any more.
local name, reason, kept = unpack(ARGV)
for _, id in ipairs(redis.call('ZRANGE', 'live_leases:' .. name, 0, -1)) do
  end_live(id, reason, kept)
end
redis.call('DEL', 'live_leases:' .. name)
redis.call('HDEL', 'live_workers', name)
redis.call('ZREM', 'live_workers:seen', name)
return 1
