-- Shared functions. A session that has not ended is in one of three places: waiting:{lane}, running, or
-- waiters:{leader}. Every change leaves it in exactly one.
--
-- Times are texts, seconds since 1970 with six decimals. Lua prints a number with fourteen digits, which would
-- leave only four decimals.

local EVENTS = 1000 -- approximate number of events kept per session

local function time_of(given)
  if given ~= '' then
    return given
  end
  local seconds, micros = unpack(redis.call('TIME'))
  return string.format('%d.%06d', seconds, micros)
end

local function later(time, seconds)
  return string.format('%.6f', tonumber(time) + tonumber(seconds))
end

-- Several fields of a session; false for a missing one.
local function get(id, ...)
  return unpack(redis.call('HMGET', 'session:' .. id, ...))
end

local function set(id, ...)
  redis.call('HSET', 'session:' .. id, ...)
end

local function unset(id, ...)
  redis.call('HDEL', 'session:' .. id, ...)
end

local function count(field)
  redis.call('HINCRBY', 'stats:sessions', field, 1)
end

local function followers_of(id)
  return redis.call('ZRANGE', 'waiters:' .. id, 0, -1)
end

-- ---------------------------------------------------------------- owners

local function owner_of(id)
  local owner = get(id, 'owner')
  return owner or 'local'
end

-- Whether the avatar of a session was deleted, at least for its owner.
local function avatar_is_gone(id)
  local image = get(id, 'image_id')
  return redis.call('SISMEMBER', 'avatar_owners:' .. image, owner_of(id)) == 0
end

-- Whether the video of a ready session was deleted, at least for its owner.
local function video_is_gone(id)
  local key = get(id, 'result_key')
  return redis.call('EXISTS', 'result:' .. key) == 0
    or redis.call('SISMEMBER', 'video_owners:' .. key, owner_of(id)) == 0
end

-- {fields of the session, fields of the leader whose state it shows}
local function view(id)
  local state, leader = get(id, 'state', 'leader')
  local work = {}
  if state == 'queued' and leader then
    work = redis.call('HGETALL', 'session:' .. leader)
  end
  local fields = redis.call('HGETALL', 'session:' .. id)
  if state == 'ready' and video_is_gone(id) then
    fields[#fields + 1] = 'video_deleted'
    fields[#fields + 1] = '1'
  end
  return { fields, work }
end

-- ---------------------------------------------------------------- events

local function event_of(id, now)
  local state, attempt, moment, outcome, failure = get(id, 'state', 'attempt', 'moment', 'outcome', 'failure')
  return '{"state":"' .. state .. '","at":' .. now .. ',"attempt":' .. (attempt or '0')
    .. ',"moment":' .. (moment or 'null') .. ',"outcome":' .. (outcome or 'null')
    .. ',"failure":' .. (failure or 'null') .. '}'
end

local function send_event(id, event)
  redis.call('XADD', 'events:' .. id, 'MAXLEN', '~', EVENTS, '*', 'data', event)
end

local function send_event_to_all(id, now)
  local event = event_of(id, now)
  send_event(id, event)
  for _, waiter in ipairs(followers_of(id)) do
    send_event(waiter, event)
  end
end

-- ---------------------------------------------------------------- places

local function leave_place(id)
  local lane, leader = get(id, 'lane', 'leader')
  redis.call('ZREM', 'waiting:' .. lane, id)
  redis.call('ZREM', 'tickets', id)
  redis.call('ZREM', 'running', id)
  redis.call('HDEL', 'lengths', id)
  if leader then
    redis.call('ZREM', 'waiters:' .. leader, id)
  end
end

local function forget_run(id)
  set(id, 'state', 'queued')
  unset(id, 'leader', 'moment', 'told_at', 'told_stage', 'worker', 'run_as')
end

local function note_length(id)
  local seconds, engine = get(id, 'seconds', 'engine')
  redis.call('HSET', 'lengths', id, seconds .. ' ' .. engine)
end

-- Puts a session at its place in the lane, which it got when it was accepted. ticket: time at which its ticket was
-- sent, 0 if not yet.
local function place_in_lane(id, ticket)
  leave_place(id)
  forget_run(id)
  local lane, seq = get(id, 'lane', 'seq')
  redis.call('ZADD', 'waiting:' .. lane, seq, id)
  redis.call('ZADD', 'tickets', ticket, id)
  note_length(id)
end

local function place_behind(id, leader)
  leave_place(id)
  forget_run(id)
  set(id, 'leader', leader)
  local seq = get(id, 'seq')
  redis.call('ZADD', 'waiters:' .. leader, seq, id)
end

local function lead(id)
  local key = get(id, 'result_key')
  redis.call('SET', 'leading:' .. key, id)
end

local function stop_leading(id)
  local key = get(id, 'result_key')
  if redis.call('GET', 'leading:' .. key) == id then
    redis.call('DEL', 'leading:' .. key)
  end
end
