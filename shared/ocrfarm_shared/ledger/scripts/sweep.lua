-- The dispatcher's round. Everything here is safe to run twice, and by two dispatchers.
even_when_full()
local done = {lost = 0, republished = 0, delayed = 0, deadlines = 0, expired = 0, taken_back = {}, late = {}}
local limit = A.limit
local live = slots()

-- The units whose messages are in a queue, as a set. A queue is short: half as many again as there are slots.
local function messages(profile)
  local units = {}
  for _, message in ipairs(call('LRANGE', key('q', profile), 0, -1)) do
    local unit = string.match(message, '"id":%s*"([^"]-):%d+"')
    if unit then units[unit] = true end
  end
  return units
end

for _, unit in ipairs(call('ZRANGEBYSCORE', key('delayed'), '-inf', stamp(NOW), 'LIMIT', 0, limit)) do
  call('ZREM', key('delayed'), unit)
  local u = get(key('unit', unit))
  local run = u and get(key('run', u.run))
  if u and u.state == 'waiting' and open_run(run) then
    enqueue(run.profile, run.priority, run.tenant, unit, true)
    done.delayed = done.delayed + 1
  end
end

for _, profile in ipairs(call('SMEMBERS', key('profiles'))) do
  local leases, published = key('leases', profile), key('published', profile)
  for _, unit in ipairs(call('ZRANGEBYSCORE', leases, '-inf', stamp(NOW), 'LIMIT', 0, limit)) do
    local u = get(key('unit', unit))
    if u and u.state == 'running' then
      attempt_failed(unit, u, A.lost, true, true, A.max_attempts)
      done.lost = done.lost + 1
      table.insert(done.taken_back, unit)
    else
      call('ZREM', leases, unit)
    end
  end
  -- Published, unclaimed, and no longer in the queue: its message may have died with a worker between Redis and its memory. (Or a pool
  -- holds it for its next free process: then the copy loses the claim, and there is one in the queue at most.) What is still in the queue
  -- only waits. With nobody alive, all does.
  if live > 0 then
    local queued
    for _, unit in ipairs(call('ZRANGEBYSCORE', published, '-inf', stamp(NOW - A.republish_s), 'LIMIT', 0, limit)) do
      local u = get(key('unit', unit))
      if not u or u.state ~= 'published' or not open_run(get(key('run', u.run))) then
        call('ZREM', published, unit)
        if u and u.state == 'published' then call('DEL', key('unit', unit)) end
      else
        queued = queued or messages(profile)
        if not queued[unit] then
          publish(profile, unit, true)
          done.republished = done.republished + 1
        end
      end
    end
  end
  hand_out(profile)
  for _, set in ipairs({'readers', 'riding'}) do call('ZREMRANGEBYSCORE', key(set, profile), '-inf', stamp(NOW - 60)) end
end

for _, id in ipairs(call('ZRANGEBYSCORE', key('deadlines'), '-inf', stamp(NOW), 'LIMIT', 0, limit)) do
  call('ZREM', key('deadlines'), id)
  local job = get(key('job', id))
  if job and job.state == '' then
    end_job(id, job, 'failed', A.deadline)
    leave(id, job)
    done.deadlines = done.deadlines + 1
    table.insert(done.late, id)
  end
end

for _, id in ipairs(call('ZRANGEBYSCORE', key('expiry'), '-inf', stamp(NOW), 'LIMIT', 0, limit)) do
  call('ZREM', key('expiry'), id)
  local job = get(key('job', id))
  if job and job.gone == '1' then
    forget_record(id, job)  -- the second time: it has answered 410 for long enough
    done.expired = done.expired + 1
  elseif job then
    forget_result(id, job)
    call('ZREM', key('results', job.tenant), id)
    -- For the days that it goes on answering 410 the record is kept small: written anew, without its long texts.
    job.gone, job.submission, job.blob = '1', '{}', ''
    local flat = {}
    for name, value in pairs(job) do
      flat[#flat + 1] = name
      flat[#flat + 1] = value
    end
    call('DEL', key('job', id))
    call('HSET', key('job', id), unpack(flat))
    -- It is looked at once more when its time is over, so that the indices lose it too; Redis' own expiry is the net below that.
    call('ZADD', key('expiry'), stamp(NOW + tonumber(job.record_ttl)), id)
    call('EXPIRE', key('job', id), math.ceil(tonumber(job.record_ttl)) + 3600)
    done.expired = done.expired + 1
  end
end
-- Processes that left without a farewell.
local vanished = call('ZREMRANGEBYSCORE', key('slots'), '-inf', stamp(NOW - 60)) + call('ZREMRANGEBYSCORE', key('resting'), '-inf', stamp(NOW - 60))
if vanished > 0 then count('processes_lost', vanished) end
call('HSET', key('stats'), 'swept_at', math.floor(NOW))
-- Nothing is under way: a count that went wrong (a process of an older release does not keep it) begins anew.
if call('ZCARD', key('active')) == 0 then call('HSET', key('stats'), 'pages_behind', 0) end
call('ZREMRANGEBYSCORE', key('pins'), '-inf', stamp(NOW))
done.live = live
return reply(done)
