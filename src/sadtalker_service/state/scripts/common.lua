-- What the scripts share. A session that has not ended is in one of three places: in waiting:{lane}, in running,
-- or in waiters:{leader}. Every change leaves it in exactly one.
--
-- Times come as text, seconds since 1970 with six digits after the point: Lua's own spelling of a number keeps
-- fourteen digits, four of them after the point.

local EVENTS = 1000 -- events kept of a session, about

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

-- several fields of a session, false for what is not there
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

-- whether the avatar of a session was deleted, by its owner at least
local function avatar_is_gone(id)
  local image = get(id, 'image_id')
  return redis.call('SISMEMBER', 'avatar_owners:' .. image, owner_of(id)) == 0
end

-- whether the video of a session that became ready was deleted since, for its owner at least
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

local function tell(id, event)
  redis.call('XADD', 'events:' .. id, 'MAXLEN', '~', EVENTS, '*', 'data', event)
end

local function tell_all(id, now)
  local event = event_of(id, now)
  tell(id, event)
  for _, waiter in ipairs(followers_of(id)) do
    tell(waiter, event)
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

-- to its place in the lane, the one that it got when it was accepted; ticket: when its ticket was sent, 0 for
-- not yet
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

-- ---------------------------------------------------------------- waiters

-- who takes over when a leader leaves: VIP ones first, so that none of them waits in a slower lane
local function successor_of(id)
  local waiters = followers_of(id)
  for _, waiter in ipairs(waiters) do
    local lane = get(waiter, 'lane')
    if lane == 'vip' then
      return waiter
    end
  end
  return waiters[1]
end

-- the waiters of one session become those of another, which may be one of them
local function move_followers(from, to)
  for _, waiter in ipairs(followers_of(from)) do
    if waiter == to then
      redis.call('ZREM', 'waiters:' .. from, to)
      unset(to, 'leader')
    else
      place_behind(waiter, to)
    end
  end
end

-- starts that killed their worker count for everybody who is worked on in the same place
local function inherit_starts(id, from)
  local own, others = get(id, 'starts'), get(from, 'starts')
  set(id, 'starts', math.max(tonumber(own or 0), tonumber(others or 0)))
end

-- the first waiter leads now, and waits; nil if there is none
local function promote_waiter(id)
  local successor = successor_of(id)
  if successor then
    move_followers(id, successor)
    place_in_lane(successor, 0)
    lead(successor)
  end
  return successor
end

-- the first waiter leads now, and the run of the one that leaves goes on for it; nil if there is none
local function transfer_run(id)
  local successor = successor_of(id)
  if not successor then
    return nil
  end
  local lease = redis.call('ZSCORE', 'running', id)
  local attempt, started, worker, moment, run_as = get(id, 'attempt', 'started_at', 'worker', 'moment', 'run_as')
  move_followers(id, successor)
  leave_place(successor)
  set(successor, 'state', 'generating', 'attempt', attempt, 'started_at', started, 'worker', worker,
    'run_as', run_as or id)
  if moment then
    set(successor, 'moment', moment)
  end
  inherit_starts(successor, id)
  redis.call('ZADD', 'running', lease, successor)
  note_length(successor)
  lead(successor)
  set(id, 'successor', successor)
  return successor
end

-- Where a request with this result would go: 'ready', 'behind' and its leader, 'lane', or 'full'.
local function destination(key, lane, max_waiting)
  if redis.call('EXISTS', 'result:' .. key) == 1 then
    return 'ready'
  end
  local leader = redis.call('GET', 'leading:' .. key)
  if leader then
    local state, its_lane = get(leader, 'state', 'lane')
    if state == 'generating' or its_lane == lane or its_lane == 'vip' then
      -- the number of waiters is bounded too: each change of the leader's is told to all of them
      local room = redis.call('ZCARD', 'waiters:' .. leader) < tonumber(max_waiting)
      return room and 'behind' or 'full', leader
    end
  end
  return redis.call('ZCARD', 'waiting:' .. lane) < tonumber(max_waiting) and 'lane' or 'full'
end

-- ---------------------------------------------------------------- ends

-- ends a session whose waiters have been taken care of
local function close(id, state, now, ttl)
  leave_place(id)
  stop_leading(id)
  set(id, 'state', state, 'ended_at', now)
  unset(id, 'cancel', 'worker', 'told_at', 'told_stage')
  local lane, image, callback = get(id, 'lane', 'image_id', 'callback')
  redis.call('SREM', 'image_sessions:' .. image, id)
  if state == 'ready' then
    local key = get(id, 'result_key')
    redis.call('SADD', 'video_owners:' .. key, owner_of(id))
  end
  count('ended:' .. lane .. ':' .. state)
  if callback == '1' then
    redis.call('ZADD', 'unannounced', now, id)
  end
  tell(id, event_of(id, now))
  redis.call('PEXPIRE', 'session:' .. id, ttl)
  redis.call('PEXPIRE', 'events:' .. id, ttl)
end

-- ends a leader and, alike, all who follow it
local function close_all(id, state, now, ttl)
  local run_as = get(id, 'run_as') or id
  for _, waiter in ipairs(followers_of(id)) do
    set(waiter, 'run_as', run_as)
    if state == 'ready' and avatar_is_gone(waiter) then -- its owner has deleted the avatar, another one has not
      close(waiter, 'cancelled', now, ttl)
    else
      for _, name in ipairs({ 'attempt', 'started_at', 'moment', 'outcome', 'failure', 'reused' }) do
        local value = get(id, name)
        if value then
          set(waiter, name, value)
        end
      end
      if state == 'ready' then
        count('shared')
      end
      close(waiter, state, now, ttl)
    end
  end
  close(id, state, now, ttl)
end

-- ends a leader that waits or runs; its work begins anew for the first waiter
local function cancel_leader(id, now, ttl)
  local successor = promote_waiter(id)
  close(id, 'cancelled', now, ttl)
  if successor then
    tell_all(successor, now)
  end
end

local function give_up(id, failure, now, ttl, max_dead)
  set(id, 'failure', failure)
  redis.call('LPUSH', 'dead', id)
  redis.call('LTRIM', 'dead', 0, max_dead - 1)
  close_all(id, 'failed', now, ttl)
end

-- ---------------------------------------------------------------- runs

-- A run is (id, attempt), named as when it began. Gives the session for which it is going on, or nil and the
-- last one for which it did.
local function session_of_run(id, attempt, ttl)
  local owner, successor = id, get(id, 'successor')
  local left = {}
  while successor do
    left[#left + 1] = owner
    owner, successor = successor, get(successor, 'successor')
  end
  local state, present, run_as = get(owner, 'state', 'attempt', 'run_as')
  if state ~= 'generating' or present ~= attempt or (run_as or owner) ~= id then
    return nil, owner
  end
  for _, name in ipairs(left) do
    redis.call('PEXPIRE', 'session:' .. name, ttl) -- the way to the successor must last as long as the run
  end
  return owner
end

-- What is to be done with a session before it may wait or run again: true when it ended, or follows another.
-- rules: {ttl, max_starts, failure, max_dead}
local function settle(id, now, rules)
  local key, flagged, starts = get(id, 'result_key', 'cancel', 'starts')
  if flagged or avatar_is_gone(id) then
    cancel_leader(id, now, rules.ttl)
    return true
  end
  local outcome = redis.call('HGET', 'result:' .. key, 'outcome')
  if outcome then
    set(id, 'outcome', outcome, 'reused', '1')
    count('reused')
    close_all(id, 'ready', now, rules.ttl)
    return true
  end
  local other = redis.call('GET', 'leading:' .. key)
  if other and other ~= id then
    local state = get(other, 'state')
    if state == 'generating' then
      local event = event_of(other, now)
      for _, waiter in ipairs(followers_of(id)) do
        tell(waiter, event)
      end
      tell(id, event)
      move_followers(id, other)
      place_behind(id, other)
      return true
    end
  end
  if tonumber(starts or 0) >= tonumber(rules.max_starts) then
    give_up(id, rules.failure, now, rules.ttl, rules.max_dead)
    return true
  end
  return false
end

-- Back to the lane. A VIP waiter must not wait for it in the standard lane: it leads then.
local function put_back(id, ticket, now)
  local successor = successor_of(id)
  local lane, heirs_lane = get(id, 'lane'), successor and get(successor, 'lane')
  local front = id
  if lane == 'standard' and heirs_lane == 'vip' then
    front = successor
    inherit_starts(successor, id)
    move_followers(id, successor)
    place_behind(id, successor)
  end
  place_in_lane(front, ticket)
  lead(front)
  tell_all(front, now)
  return front
end
