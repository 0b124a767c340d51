-- Included after the prelude and ending.lua: how a worker process takes units: by a message that Celery brought (claim.lua), or at once, with
-- the answer to what it had before (`take_next`), without the way through Celery.
--   readers:PROFILE  sorted set: worker processes that can read it, by when their word runs out
--   riding:PROFILE   sorted set: units of `leases` that are read along with another by the same process, by when their lease runs out
--   spare:PROFILE    hash: worker process -> how many of the last waiting units it leaves to faster ones (pace.py)
--
-- `by`: owner, node, process, lease_s, schema (the newest that it understands), most (small pictures that it reads at a time).

local function lease(u_profile, unit, seconds, rides)
  call('ZADD', key('leases', u_profile), stamp(NOW + seconds), unit)
  if rides then call('ZADD', key('riding', u_profile), stamp(NOW + seconds), unit) end
end

-- Which units this owner (a Celery task) holds.
local function held_by(owner)
  local out = {}
  for _, profile in ipairs(call('SMEMBERS', key('profiles'))) do
    for _, unit in ipairs(call('ZRANGE', key('leases', profile), 0, -1)) do
      if call('HGET', key('unit', unit), 'owner') == owner then out[#out + 1] = unit end
    end
  end
  return out
end

-- Whether a faster process can read it and holds nothing now. `mine`: how many units this one leaves to faster ones.
local function faster_is_free(profile, mine)
  local busy = {}
  for _, p in ipairs(call('SMEMBERS', key('profiles'))) do
    for _, unit in ipairs(call('ZRANGE', key('leases', p), 0, -1)) do
      local process = call('HGET', key('unit', unit), 'process')
      if process then busy[process] = true end
    end
  end
  for process, left in pairs(get(key('spare', profile)) or {}) do
    local alive = tonumber(call('ZSCORE', key('readers', profile), process) or '0') > NOW
    if alive and tonumber(left) < mine and not busy[process] then return true end
  end
  return false
end

-- Near the end of a backlog a slow process would end its page after faster ones had ended all that waits. So it leaves the last units to
-- them: back to the front of the lane, or of the queue where one of them is free. Not for ever: whoever comes takes a unit that was left for
-- as long as a lease, or so often that nobody can be there for it. True: it was left.
local function leave_to_faster(unit, u, run, by)
  if u.state ~= 'published' then return false end
  local mine = tonumber(call('HGET', key('spare', run.profile), by.process) or '') or 0
  if mine == 0 then return false end
  -- All that waits, this one among it: in lanes, in the queue, and of its own document what is not in a lane yet.
  local waiting = call('ZCARD', key('queued', run.profile)) + call('ZCARD', key('published', run.profile))
    + call('LLEN', key('run', u.run, 'n'))
  if waiting > mine then return false end
  local since = tonumber(u.left_since or '')
  if since and NOW - since > by.lease_s then return false end
  local times = call('HINCRBY', key('unit', unit), 'left', 1)
  if times > 4 * slots() + 8 then return false end
  if not since then call('HSET', key('unit', unit), 'left_since', stamp(NOW)) end
  count('left_to_faster')
  if faster_is_free(run.profile, mine) then
    publish(run.profile, unit, true)
  else
    call('ZREM', key('published', run.profile), unit)
    call('HSET', key('unit', unit), 'state', 'waiting')
    call('SADD', key('run', u.run, 'b'), unit)
    enqueue(run.profile, run.priority, run.tenant, unit, true)
  end
  return true
end

-- A worker takes a unit: compare-and-set published/waiting -> running, attempt + 1, a fencing token, a lease. What it must know to read it;
-- or nil and why not.
local function take_unit(unit, by, rides)
  local uk = key('unit', unit)
  local u = get(uk)
  local run = u and get(key('run', u.run))
  if not open_run(run) then
    -- Nobody wants it any more. Its place among the published goes to the next unit now and not at the sweep's; the run may have been
    -- deleted, and its profile with it, so it is looked for in each.
    call('DEL', uk)
    for _, profile in ipairs(call('SMEMBERS', key('profiles'))) do
      if call('ZREM', key('published', profile), unit) == 1 then hand_out(profile) end
    end
    return nil, 'gone'
  end
  -- Written for readers of a later release: it stays published, and the sweep offers it again until one of those comes.
  if (tonumber(run.schema or '') or 1) > by.schema then return nil, 'newer' end
  if u.state == 'running' then return nil, 'foreign' end
  -- A node that is to take no more popped it a moment before it heard so.
  if call('HEXISTS', key('drained'), by.node) == 1 then
    if u.state == 'published' then publish(run.profile, unit, true) end
    return nil, 'drained'
  end
  if not rides and leave_to_faster(unit, u, run, by) then return nil, 'left' end
  if u.state == 'waiting' then  -- it went back to its lane after this message was published
    call('ZREM', key('queued', run.profile), unit)
    call('ZREM', key('delayed'), unit)
    call('SREM', key('run', u.run, 'b'), unit)
  end
  local token, attempt = call('INCR', key('tokens')), tonumber(u.attempt) + 1
  call('HSET', uk, 'attempt', attempt, 'state', 'running', 'token', token, 'owner', by.owner, 'node', by.node, 'process', by.process,
    'profile', run.profile, 'started', stamp(NOW))
  call('ZREM', key('published', run.profile), unit)
  lease(run.profile, unit, by.lease_s, rides)
  local rk = key('run', u.run)
  if run.state == 'queued' then
    call('HSET', rk, 'state', 'running', 'started', stamp(NOW))
    items_began(u.run)
    event({run = u.run, state = 'running'})
  end
  if attempt > tonumber(run.attempt) then call('HSET', rk, 'attempt', attempt) end
  return {unit = unit, token = token, attempt = attempt, run = u.run, kind = u.kind, number = tonumber(u.number), tenant = run.tenant,
    blob = run.blob, media_type = run.media_type, profile = run.profile, options = run.options, reader = text(run.reader),
    source = text(run.of), name = text(run.name), job = text(run.job), priority = run.priority,
    waited = run.state == 'queued' and NOW - tonumber(run.created) or nil}  -- the first that is done of its document
end

-- The unit of the next message of a profile's queue, taken out of it; nil where there is none. What is not the ledger's stays there.
local function next_message(profile, only_small)
  local queue = key('q', profile)
  local message = call('LINDEX', queue, -1)
  local unit = message and string.match(message, '"id":%s*"([^"]-):%d+"')
  if not unit then return nil end
  if only_small then
    local run_id, attempt = unpack(call('HMGET', key('unit', unit), 'run', 'attempt'))
    -- What failed once is read alone: it may have been its fault.
    if not run_id or attempt ~= '0' or call('HGET', key('run', run_id), 'small') ~= '1' then return nil end
  end
  call('RPOP', queue)
  return unit
end

-- Small pictures (a word, a line) take a process less time than their way to it. So whoever takes one takes those behind it along, `most`
-- together, but no more than its share of what waits: other processes shall have theirs.
local function take_along(first, by)
  local out = {first}
  local profile = first.profile
  if (by.most or 1) <= 1 or first.attempt > 1 or call('HGET', key('run', first.run), 'small') ~= '1' then return out end
  local waiting = call('ZCARD', key('queued', profile)) + call('LLEN', key('q', profile))
  local share = 1 + math.floor(waiting / math.max(1, slots(profile)))
  for _ = 2, math.min(by.most, share) do
    hand_out(profile)
    local unit = next_message(profile, true)
    if not unit then break end
    local also = take_unit(unit, by, true)
    if also then out[#out + 1] = also end
  end
  hand_out(profile)
  return out
end

-- What a process that is done goes on with: the next message of its profiles' queues, as Celery would have brought it; nil where there is
-- none, or where `by` is (the process wants no more now).
local function take_next(by)
  if not by or by == cjson.null then return nil end
  local used = {}
  for _, profile in ipairs(call('SMEMBERS', key('profiles'))) do used[profile] = true end
  for _, profile in ipairs(by.profiles) do
    for _ = 1, used[profile] and 20 or 0 do
      local unit = next_message(profile)
      if not unit then break end
      local taken, why = take_unit(unit, by)
      if taken then return take_along(taken, by) end
      if why == 'left' or why == 'drained' then return nil end
    end
  end
  return nil
end
