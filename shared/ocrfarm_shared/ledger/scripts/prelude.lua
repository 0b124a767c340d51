-- What every script shares: key names, the clock, lanes, handing out, ending. Prepended to each script by scripts.py.
-- ARGV[1] the namespace, ARGV[2] the call's arguments as JSON, ARGV[3] bytes where a call carries some.
-- Each script is one transition: Redis runs it whole or (a full memory, before the first write) not at all.
-- Keys are made here and not declared, so a farm needs one Redis, not a Redis Cluster.

local NS, A, BYTES = ARGV[1], cjson.decode(ARGV[2]), ARGV[3]
local call = redis.call

local function key(...) return NS .. ':' .. table.concat({...}, ':') end

local clock = call('TIME')
local NOW = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local function stamp(t) return string.format('%.6f', t) end

local function get(k)  -- a hash as a table; nil where there is none
  local flat, out = call('HGETALL', k), {}
  if #flat == 0 then return nil end
  for i = 1, #flat, 2 do out[flat[i]] = flat[i + 1] end
  return out
end

local function reply(t) return cjson.encode(t) end
local function text(v) if v == nil or v == cjson.null then return '' end return tostring(v) end
local function given(v) if v == nil or v == '' or v == cjson.null then return nil end return v end

-- What frees memory, and what was accepted before, must go on when Redis is full, or it stays full for ever. Redis refuses commands that
-- may take memory only until a script has written something (6.2 and 7 alike), and deleting what is not there takes none. submit.lua
-- alone does not say this: a full farm accepts nothing new.
local function even_when_full() call('DEL', key('-')) end

local function event(t) call('PUBLISH', key('events'), cjson.encode(t)) end
local function count(name, n) call('HINCRBY', key('stats'), name, n or 1) end

-- Counted by tens of seconds, for rates. `whose`: a tenant, or '' for the farm.
local function tally(name, whose)
  local bucket = key(name, whose, string.format('%d', math.floor(NOW / 10)))
  if call('INCR', bucket) == 1 then call('EXPIRE', bucket, 120) end
end

local function open_run(run) return run and (run.state == 'queued' or run.state == 'running') end

-- -------------------------------------------------------------------------------------------- lanes and hand-out
-- A lane is a FIFO of units by profile, priority and tenant; `turn` holds the tenants whose lane is not empty, in turn.

local PRIORITIES = {'interactive', 'normal', 'bulk'}

local function enqueue(profile, priority, tenant, unit, front)
  local lane = key('lane', profile, priority, tenant)
  if call('EXISTS', lane) == 0 then call('RPUSH', key('turn', profile, priority), tenant) end
  call(front and 'LPUSH' or 'RPUSH', lane, unit)
  call('ZADD', key('queued', profile), stamp(NOW), unit)
end

-- Make the run's next `n` pages waiting units. Only a window of a long document stands in its lane, each page that leaves
-- brings the next to the lane's end: so documents of one tenant take turns, and a document of 10,000 pages is no wall.
local function stock(run_id, run, n)
  local behind = 0
  for _ = 1, n do
    local number = call('LPOP', key('run', run_id, 'n'))
    if not number then break end
    behind = behind + 1
    local unit = run_id .. ':' .. number
    call('HSET', key('unit', unit), 'run', run_id, 'kind', 'page', 'number', number, 'state', 'waiting', 'attempt', '0')
    call('SADD', key('run', run_id, 'b'), unit)
    enqueue(run.profile, run.priority, run.tenant, unit)
  end
  if behind > 0 then count('pages_behind', -behind) end
end

-- A mass cancel leaves thousands of entries in a lane whose units are gone. They go many at a time, 20,000 in one script at most (some 20
-- ms), so that what waits behind them comes soon and nobody else waits for it.
local strippable = 20000
local function strip(lane)
  local first = call('LINDEX', lane, 0)
  if not first or call('EXISTS', key('unit', first)) == 1 then return end
  while strippable > 0 do
    local units, gone = call('LRANGE', lane, 0, 99), 0
    for _, unit in ipairs(units) do
      if call('EXISTS', key('unit', unit)) == 1 then break end
      gone = gone + 1
    end
    if gone == 0 then return end
    call('LTRIM', lane, gone, -1)
    strippable = strippable - gone
  end
end

-- The next unit of the lane of a tenant who was just taken out of `turn`, and goes back to its end while the lane has more; nil where
-- that unit is not wanted any more.
local function pop(profile, priority, tenant)
  local lane = key('lane', profile, priority, tenant)
  strip(lane)
  local unit = call('LPOP', lane)
  if call('EXISTS', lane) == 1 then call('RPUSH', key('turn', profile, priority), tenant) end
  if not unit then return nil end
  local state, run_id = unpack(call('HMGET', key('unit', unit), 'state', 'run'))
  if state ~= 'waiting' then return nil end
  local run = get(key('run', run_id))
  call('ZREM', key('queued', profile), unit)
  call('SREM', key('run', run_id, 'b'), unit)
  if open_run(run) then
    stock(run_id, run, 1)
    return unit
  end
  call('DEL', key('unit', unit))  -- its run was cancelled while it waited
  return nil
end

local function take(profile, priority)  -- the next unit of this priority, tenants taking turns; nil where there is none
  for _ = 1, 1000 do
    local tenant = call('LPOP', key('turn', profile, priority))
    if not tenant then return nil end
    local unit = pop(profile, priority, tenant)
    if unit then return unit end
  end
  return nil
end

-- The Celery message itself (kombu's virtual transport, protocol 2), pushed in the same transition that marks the unit
-- published: no process can die between the two. tests/integration holds this against the installed Celery.
local function publish(profile, unit, front)
  local id = unit .. ':' .. call('INCR', key('messages'))
  local queue = key('q', profile)
  -- What a reader must at least understand is the run's to say: who hands its pages out may be older than who wrote it.
  local run, number = string.match(unit, '^(.*):(.*)$')
  local schema, job, of, name = unpack(call('HMGET', key('run', run), 'schema', 'job', 'of', 'name'))
  -- What Flower shows of it.
  local shown = given(of) and name .. ' of ' .. of or run .. (number == '0' and ', plan' or ', page ' .. number)
  call(front and 'RPUSH' or 'LPUSH', queue, cjson.encode({  -- consumers take from the right
    body = '[["' .. unit .. '"], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]',
    ['content-encoding'] = 'utf-8', ['content-type'] = 'application/json',
    headers = {lang = 'py', task = 'ocrfarm.read_unit', id = id, root_id = id, retries = 0, argsrepr = shown,
               kwargsrepr = given(job) and 'profile ' .. profile .. ', ' .. job or 'profile ' .. profile,
               origin = 'ledger', ignore_result = true, schema_version = tonumber(schema or '') or 1},
    properties = {correlation_id = id, delivery_mode = 2, delivery_tag = id, priority = 0,
                  delivery_info = {exchange = '', routing_key = queue}},
  }))
  call('ZADD', key('published', profile), stamp(NOW), unit)
end

-- Worker processes that live; with a profile, those that can read it. Where none says so, all count: they may be of a release that does not.
local function slots(profile)
  local readers = profile and call('ZCOUNT', key('readers', profile), stamp(NOW), '+inf') or 0
  if readers > 0 then return readers end
  return call('ZCOUNT', key('slots'), stamp(NOW), '+inf')
end

-- Units that are on their way to a process or in it; those that ride along with another take no process of their own.
local function under_way(profile)
  return call('ZCARD', key('published', profile)) + call('ZCARD', key('leases', profile))
    - call('ZCOUNT', key('riding', profile), stamp(NOW), '+inf')
end

-- Publish waiting units until half as many again as there are live slots are under way: what is published waits in order of publication,
-- so a page that comes now stands behind all of it. A slot that comes free finds the next in the queue, and its finish publishes another
-- in the same transition; the rest covers nodes that are a round trip away. Interactive goes before normal before bulk, but every 8th
-- hand-out asks normal first and every 16th bulk, so that none starves.
local function hand_out(profile)
  local live = slots(profile)
  local room = math.max(2, live + math.ceil(live / 2)) - under_way(profile)
  for _ = 1, room do
    local k = call('HINCRBY', key('handed'), profile, 1)
    local first = (k % 16 == 0) and 3 or (k % 8 == 0) and 2 or 1
    local unit = take(profile, PRIORITIES[first])
    for p = 1, 3 do
      if not unit and p ~= first then unit = take(profile, PRIORITIES[p]) end
    end
    if not unit then return end
    call('HSET', key('unit', unit), 'state', 'published')
    publish(profile, unit)
  end
end

-- A tenant of whom nothing else is here need not stand behind what others have published: his one unit goes to the queue's front now,
-- beyond the room. That way at most half of the slots are taken, so that a crowd of such tenants starves nobody.
local function hasten(profile, priority, tenant)
  if priority == 'bulk' then return end
  local waiting = 0
  for _, p in ipairs(PRIORITIES) do waiting = waiting + call('LLEN', key('lane', profile, p, tenant)) end
  if waiting ~= 1 then return end
  local hastened = 0
  for _, set in ipairs({'published', 'leases'}) do
    for _, unit in ipairs(call('ZRANGE', key(set, profile), 0, -1)) do
      local run_id, before_others = unpack(call('HMGET', key('unit', unit), 'run', 'hastened'))
      if run_id and call('HGET', key('run', run_id), 'tenant') == tenant then return end
      if before_others then hastened = hastened + 1 end
    end
  end
  if hastened >= math.max(1, math.floor(slots(profile) / 2)) then return end
  call('LREM', key('turn', profile, priority), 0, tenant)
  local unit = pop(profile, priority, tenant)
  if not unit then return end
  call('HSET', key('unit', unit), 'state', 'published', 'hastened', '1')
  publish(profile, unit, true)
end
