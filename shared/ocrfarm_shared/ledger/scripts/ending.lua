-- Included after the prelude and batching.lua: how jobs and runs end, and what becomes of an attempt that failed.

-- Let an ended run's keys live that long, never shorter than they already do. `first`: it has just ended, and none of them expires yet.
local function keep(run_id, seconds, first)
  for _, k in ipairs({key('run', run_id), key('run', run_id, 'f'), key('run', run_id, 'p'), key('run', run_id, 'a'), key('run', run_id, 'm'),
    key('run', run_id, 'o')}) do
    local left = first and -1 or call('TTL', k)
    if left ~= -2 and left < seconds then call('EXPIRE', k, seconds) end  -- -2: there is none
  end
end

local function end_job(id, job, state, failure)
  local k = key('job', id)
  local expires = NOW + tonumber(job.result_ttl)
  call('HSET', k, 'state', state, 'ended', stamp(NOW), 'expires', stamp(expires), 'error', failure and cjson.encode(failure) or '')
  call('EXPIRE', k, math.ceil(tonumber(job.result_ttl) + tonumber(job.record_ttl)))
  call('ZADD', key('expiry'), stamp(expires), id)
  call('ZADD', key('results', job.tenant), stamp(expires), id)
  if call('ZREM', key('active'), id) == 1 and state ~= 'cancelled' then
    tally('ends', '')
    tally('ends', job.tenant)
  end
  call('ZREM', key('active', job.tenant), id)
  call('ZREM', key('deadlines'), id)
  if given(job.idempotency) then
    call('EXPIRE', key('idem', job.tenant, job.idempotency), math.ceil(tonumber(job.result_ttl)))
  end
  if given(job.webhook) then webhook('job', id, job, state) end
  count('jobs_' .. state)
  event({job = id, run = job.run, state = state, batch = given(job.batch)})
  if given(job.batch) then item_ended(id, job, state) end
end

-- The making of an artefact has ended; where it failed, the run that it was to be made of says why. (made.lua says where it is.)
local function end_making(run_id, run, failure)
  call('SREM', key('making', run.tenant), run_id)
  local mk = key('run', run.of, 'm')
  local known = call('HGET', mk, run.name)
  if failure and known and cjson.decode(known).run == run_id then
    call('HSET', mk, run.name, cjson.encode({failure = failure, at = NOW}))
  end
end

local function end_run(run_id, run, state, failure, dead)
  if given(run.of) then end_making(run_id, run, failure) end
  call('HSET', key('run', run_id), 'state', state, 'ended', stamp(NOW), 'error', failure and cjson.encode(failure) or '')
  if given(run.flight) and call('GET', key('flight', run.flight)) == run_id then call('DEL', key('flight', run.flight)) end
  if state == 'succeeded' and given(run.store) and run.uncacheable ~= '1' then
    call('SET', key('cache', run.store), run_id, 'EX', math.ceil(tonumber(run.result_ttl)))
  end
  for _, unit in ipairs(call('SMEMBERS', key('run', run_id, 'b'))) do  -- pages that still wait: nobody wants them now
    call('DEL', key('unit', unit))
    call('ZREM', key('queued', run.profile), unit)
    call('ZREM', key('delayed'), unit)
  end
  local behind = call('LLEN', key('run', run_id, 'n'))
  if behind > 0 then count('pages_behind', -behind) end
  call('DEL', key('run', run_id, 'n'), key('run', run_id, 'b'))
  for _, id in ipairs(call('SMEMBERS', key('run', run_id, 'f'))) do
    local job = get(key('job', id))
    if job and job.state == '' then
      end_job(id, job, state, failure)
      if dead then
        call('ZADD', key('dead', job.tenant), stamp(NOW), id)
        count('jobs_dead')
      end
    end
  end
  keep(run_id, math.ceil(tonumber(run.result_ttl) + tonumber(run.record_ttl)), true)
  event({run = run_id, state = state})
end

-- A job leaves its run (cancelled, past its deadline, deleted). The last one to leave cancels the run.
local function leave(id, job)
  local run = get(key('run', job.run))
  if not open_run(run) then return end
  if call('HINCRBY', key('run', job.run), 'following', -1) <= 0 then
    end_run(job.run, run, 'cancelled', nil, false)
  end
end

-- A page of the run is done: the last one ends it. How long the run took, in seconds since its document was accepted, where this was its
-- last page; else nil.
local function finish_if_last(run_id)
  local done, total = call('HINCRBY', key('run', run_id), 'done', 1), tonumber(call('HGET', key('run', run_id), 'total'))
  if total == nil or done < total then return nil end
  local run = get(key('run', run_id))
  local failed = tonumber(run.failed)
  local failure = given(run.first_failure) and cjson.decode(run.first_failure) or nil
  local state = failed == 0 and 'succeeded' or failed < total and 'partial' or 'failed'
  end_run(run_id, run, state, failure, failed > 0 and run.dead == '1')
  return NOW - tonumber(run.created)
end

-- `log`: the worker's last lines about the page, JSON texts: the holder's own, else those that its last heartbeat brought.
local function note_attempt(run_id, unit, u, failure, outcome, log)
  local k = key('run', run_id, 'a')
  if not log then log = given(u.log) and cjson.decode(u.log) or {} end
  call('RPUSH', k, cjson.encode({unit = unit, attempt = tonumber(u.attempt), node = text(u.node), process = text(u.process),
    started = tonumber(u.started), ended = NOW, outcome = outcome, failure = failure, log = #log > 0 and log or nil}))
  call('LTRIM', k, -200, -1)
end

-- One attempt on a unit failed: try again while that makes sense, else the unit has failed for good.
local function attempt_failed(unit, u, failure, retryable, dead, max_attempts, log)
  local run_id = u.run
  local run = get(key('run', run_id))
  call('ZREM', key('leases', u.profile), unit)
  call('ZREM', key('riding', u.profile), unit)
  if not open_run(run) then call('DEL', key('unit', unit)) return 'gone' end
  local again = retryable and tonumber(u.attempt) < max_attempts
  note_attempt(run_id, unit, u, failure, again and 'retried' or 'failed', log)
  count('attempts_failed')
  count('attempts_failed:' .. text(failure.code))
  if again then
    call('HSET', key('unit', unit), 'token', '', 'owner', '', 'log', '')
    -- The first retry is published at once, before all that waits (its process died, say); later ones wait, growing, until the
    -- sweep.
    if tonumber(u.attempt) < 2 then
      call('HSET', key('unit', unit), 'state', 'published')
      publish(run.profile, unit, true)
    else
      call('HSET', key('unit', unit), 'state', 'waiting')
      call('SADD', key('run', run_id, 'b'), unit)
      call('ZADD', key('delayed'), stamp(NOW + 2 * tonumber(u.attempt)), unit)
    end
    return 'retried'
  end
  call('DEL', key('unit', unit))
  local k = key('run', run_id)
  if dead then call('HSET', k, 'dead', '1') end
  call('HSETNX', k, 'first_failure', cjson.encode(failure))
  if u.kind ~= 'page' then  -- a plan, an artefact: the run's one unit
    run.dead = dead and '1' or run.dead
    end_run(run_id, run, 'failed', failure, dead)
    return 'failed'
  end
  local page = {number = tonumber(u.number), width = 0, height = 0, error = failure}
  call('HSET', key('run', run_id, 'p'), u.number, 'j' .. cjson.encode(page))
  call('HINCRBY', k, 'failed', 1)
  event({run = run_id, page = tonumber(u.number)})
  finish_if_last(run_id)
  return 'failed'
end

-- The unit where this token still holds it; else nil: a stale worker writes nothing.
local function held(unit, token)
  local u = get(key('unit', unit))
  if u and u.state == 'running' and u.token == text(token) then return u end
  return nil
end

-- The holder is done with its unit, and lets go of it: the unit and its run, or nil where nothing may be written any more (the token
-- is stale, or the run has ended meanwhile and only makes room).
local function settle(unit, token)
  local u = held(unit, token)
  if not u then count('stale_writes') return nil end
  call('ZREM', key('leases', u.profile), unit)
  call('ZREM', key('riding', u.profile), unit)
  call('DEL', key('unit', unit))
  local run = get(key('run', u.run))
  if open_run(run) then return u, run end
  hand_out(u.profile)
  return nil
end
