-- The current state of a session and, while it waits, the work before its video is ready:
-- {its fields, its leader's fields, {sessions ahead, seconds of work before it, of its own, live workers}}
-- The seconds are '' if a rate has not been measured.
local id, given, max_age, vip_in_a_row = unpack(ARGV)
local state, leader = get(id, 'state', 'leader')
if not state then
  return nil
end
local seen = view(id)
local waits = state == 'queued' and (leader or id)
local lane, waits_state = nil, nil
if waits then
  lane, waits_state = get(waits, 'lane', 'state')
end
local rank = waits_state == 'queued' and redis.call('ZRANK', 'waiting:' .. lane, waits)
if not rank then
  seen[3] = {}
  return seen
end

local CHUNK = 1000 -- Lua passes only a few thousand arguments at once
local rates = {}
local function work_of(session, length) -- seconds of work, nil if the engine's rate is unknown
  local seconds, engine = string.match(length or '', '^(%S+) (.*)$')
  if not seconds then
    return 0 -- it has ended since the caller read its id
  end
  if rates[engine] == nil then
    rates[engine] = tonumber(redis.call('HGET', 'stats:rates', engine) or '') or false
  end
  return rates[engine] and rates[engine] * tonumber(seconds) or nil
end

local function work_of_all(ids, reduce)
  local total = 0
  for first = 1, #ids, CHUNK do
    local last = math.min(first + CHUNK - 1, #ids)
    local lengths = redis.call('HMGET', 'lengths', unpack(ids, first, last))
    for index = first, last do
      local work = work_of(ids[index], lengths[index - first + 1])
      if not work then
        return nil
      end
      total = total + (reduce and reduce(ids[index], work) or work)
    end
  end
  return total
end

local now = time_of(given)
local function left(session, work) -- remaining work of a running session
  local started = get(session, 'started_at')
  return math.max(0, work - (tonumber(now) - tonumber(started or now)))
end

-- Sessions of the other lane that come first: every standard session lets vip_in_a_row VIP sessions pass.
local other = lane == 'vip' and 'standard' or 'vip'
local passing = lane == 'vip' and math.floor(rank / vip_in_a_row) or (rank + 1) * vip_in_a_row
local ahead = rank > 0 and redis.call('ZRANGE', 'waiting:' .. lane, 0, rank - 1) or {}
local others = passing > 0 and redis.call('ZRANGE', 'waiting:' .. other, 0, passing - 1) or {}
local parts = {
  work_of_all(redis.call('ZRANGE', 'running', 0, -1), left) or '',
  work_of_all(ahead) or '', work_of_all(others) or '',
}
local before = 0
for _, part in ipairs(parts) do
  before = (before == '' or part == '') and '' or before + part
end
local own = work_of_all({ waits }) or ''
local alive = redis.call('ZCOUNT', 'workers:rendering', later(time_of(''), -max_age), '+inf')
seen[3] = { #ahead + #others, tostring(before), tostring(own), alive }
return seen
