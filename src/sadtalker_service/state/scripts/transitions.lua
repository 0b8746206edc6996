-- Shared functions for changes of state that concern several sessions: a leader, its waiters, its run.

-- ---------------------------------------------------------------- waiters

-- The waiter that takes over when a leader leaves. VIP waiters come first, so that none waits in a slower lane.
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

-- Moves the waiters of one session to another, which may be one of them.
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

-- Starts that killed their worker count for all sessions that share the work.
local function inherit_starts(id, from)
  local own, others = get(id, 'starts'), get(from, 'starts')
  set(id, 'starts', math.max(tonumber(own or 0), tonumber(others or 0)))
end

-- Makes the first waiter the leader, waiting in its lane. Returns nil if there is none.
local function promote_waiter(id)
  local successor = successor_of(id)
  if successor then
    move_followers(id, successor)
    place_in_lane(successor, 0)
    lead(successor)
  end
  return successor
end

-- Makes the first waiter the leader, and continues the run of the leaving session for it. Returns nil if none.
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

-- Where a request with this result would go: 'ready', 'behind' with its leader, 'lane', or 'full'.
local function destination(key, lane, max_waiting)
  if redis.call('EXISTS', 'result:' .. key) == 1 then
    return 'ready'
  end
  local leader = redis.call('GET', 'leading:' .. key)
  if leader then
    local state, its_lane = get(leader, 'state', 'lane')
    if state == 'generating' or its_lane == lane or its_lane == 'vip' then
      -- the number of waiters is limited too, because each change of the leader is sent to all of them
      local room = redis.call('ZCARD', 'waiters:' .. leader) < tonumber(max_waiting)
      return room and 'behind' or 'full', leader
    end
  end
  return redis.call('ZCARD', 'waiting:' .. lane) < tonumber(max_waiting) and 'lane' or 'full'
end

-- ---------------------------------------------------------------- ends

-- Ends a session whose waiters have been handled.
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
  send_event(id, event_of(id, now))
  redis.call('PEXPIRE', 'session:' .. id, ttl)
  redis.call('PEXPIRE', 'events:' .. id, ttl)
end

-- Ends a leader and all its followers in the same way.
local function close_all(id, state, now, ttl)
  local run_as = get(id, 'run_as') or id
  for _, waiter in ipairs(followers_of(id)) do
    set(waiter, 'run_as', run_as)
    if state == 'ready' and avatar_is_gone(waiter) then -- only this owner has deleted the avatar
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

-- Cancels a leader that waits or runs. Its work starts again for the first waiter.
local function cancel_leader(id, now, ttl)
  local successor = promote_waiter(id)
  close(id, 'cancelled', now, ttl)
  if successor then
    send_event_to_all(successor, now)
  end
end

local function give_up(id, failure, now, ttl, max_dead)
  set(id, 'failure', failure)
  redis.call('LPUSH', 'dead', id)
  redis.call('LTRIM', 'dead', 0, max_dead - 1)
  close_all(id, 'failed', now, ttl)
end

-- ---------------------------------------------------------------- runs

-- A run is (id, attempt), as named at its start. Returns the session that it runs for. Otherwise returns nil and the
-- last session that it ran for.
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
    redis.call('PEXPIRE', 'session:' .. name, ttl) -- the chain to the successor must last as long as the run
  end
  return owner
end

-- Ends a session that must not wait or run again, or makes it follow another. Returns whether it did.
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
        send_event(waiter, event)
      end
      send_event(id, event)
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

-- Returns a session to the lane. A VIP waiter becomes the leader, so that it need not wait in the standard lane.
local function put_back(id, ticket, now)
  local successor = successor_of(id)
  local lane, successor_lane = get(id, 'lane'), successor and get(successor, 'lane')
  local front = id
  if lane == 'standard' and successor_lane == 'vip' then
    front = successor
    inherit_starts(successor, id)
    move_followers(id, successor)
    place_behind(id, successor)
  end
  place_in_lane(front, ticket)
  lead(front)
  send_event_to_all(front, now)
  return front
end
