-- Included after the prelude where results are removed.
local LETTER_ATTEMPTS = 20  -- of a dead letter whose document is gone; up to 5 KB each

-- A job's record goes, and every mention of it in the indices.
local function forget_record(id, job)
  call('ZREM', key('expiry'), id)
  call('ZREM', key('results', job.tenant), id)
  call('ZREM', key('jobs', job.tenant), id)
  call('ZREM', key('dead', job.tenant), id)
  if given(job.tag) then call('ZREM', key('tag', job.tenant, job.tag), id) end
  call('DEL', key('job', id))
end

-- An artefact is no longer wanted, as its run's hash says it: its making ends, or its file may be unlinked.
local function drop_made(known)
  local m = cjson.decode(known)
  if m.run then
    local run = get(key('run', m.run))
    if open_run(run) then end_run(m.run, run, 'cancelled', nil, false) end
  elseif m.blob then
    call('DEL', key('made', m.blob))
    call('ZADD', key('blob_gc'), stamp(NOW), m.blob)
  end
end

-- A job lets go of its result and its upload; what no other job holds is removed.
local function forget_result(id, job)
  local run_id = job.run
  local followers = key('run', run_id, 'f')
  call('SREM', followers, id)
  -- One that still holds the result is enough: a look at all of them, for each of them, would stop Redis for seconds.
  local others = false
  while not others do
    local other = call('SRANDMEMBER', followers)
    if not other then break end
    others = call('EXISTS', key('job', other)) == 1 and call('HEXISTS', key('job', other), 'gone') == 0
    if not others then call('SREM', followers, other) end
  end
  local run = get(key('run', run_id))
  if not others and run and not open_run(run) then
    if given(run.store) and call('GET', key('cache', run.store)) == run_id then call('DEL', key('cache', run.store)) end
    for _, known in pairs(get(key('run', run_id, 'm')) or {}) do drop_made(known) end
    call('DEL', key('run', run_id), key('run', run_id, 'f'), key('run', run_id, 'p'), key('run', run_id, 'm'), key('run', run_id, 'o'))
    -- A dead letter tells of its attempts for as long as its record lives; they have an end of their own since the run ended.
    if call('ZSCORE', key('dead', job.tenant), id) then
      call('LTRIM', key('run', run_id, 'a'), -LETTER_ATTEMPTS, -1)
    else
      call('DEL', key('run', run_id, 'a'))
    end
  end
  local refs = key('blob', job.blob)
  call('SREM', refs, id)
  if call('EXISTS', refs) == 0 then call('ZADD', key('blob_gc'), stamp(NOW), job.blob) end
end

-- Everything of a job goes; one under way is cancelled first.
local function delete_job(id, job)
  if call('ZREM', key('dead', job.tenant), id) == 1 and job.gone == '1' then call('DEL', key('run', job.run, 'a')) end
  if job.state == '' then
    end_job(id, job, 'cancelled', nil)
    leave(id, job)
  end
  if job.gone ~= '1' then forget_result(id, job) end
  if given(job.idempotency) then
    local known = key('idem', job.tenant, job.idempotency)
    if call('HGET', known, 'job') == id then call('DEL', known) end  -- it may name a later job by now
  end
  forget_record(id, job)
end

-- So many jobs of a batch that was stopped; how many are left.
local function stop_some(id, limit)
  local b = get(key('batch', id))
  if not b or b.stop == '' then call('ZREM', key('batches_stopping'), id) return 0 end
  local left
  if b.stop == 'cancel' then
    local waiting = batch_part(id, 'w')
    for _, job_id in ipairs(call('SRANDMEMBER', waiting, limit)) do
      local job = get(key('job', job_id))
      if not mend_item(id, job_id) then
        end_job(job_id, job, 'cancelled', nil)
        leave(job_id, job)
      end
    end
    left = call('EXISTS', waiting) == 1 and tonumber(call('HGET', key('batch', id), 'pending')) or 0
  else
    local items = batch_part(id, 'i')
    local last, before = call('LRANGE', items, -limit, -1), call('LLEN', items)
    for n, job_id in ipairs(last) do
      local job = job_id ~= '' and get(key('job', job_id))
      if job then delete_job(job_id, job) end
      if job_id == '' then call('ZREM', key('refused_items', b.tenant), id .. ':' .. string.format('%d', before - #last + n)) end
    end
    call('LTRIM', items, 0, -limit - 1)
    left = call('EXISTS', items) == 1 and limit or 0
  end
  if left > 0 then call('ZADD', key('batches_stopping'), stamp(NOW), id) return left end
  call('ZREM', key('batches_stopping'), id)
  if b.stop == 'delete' then
    for _, part in ipairs({'i', 'w', 'e', 'x', 'r', 'k'}) do call('DEL', batch_part(id, part)) end
    call('DEL', key('batch', id))
    call('ZREM', key('batches', b.tenant), id)
    call('ZREM', key('batches_open'), id)
    call('ZREM', key('batches_live'), id)
    if given(b.idempotency) and call('HGET', key('idembatch', b.tenant, b.idempotency), 'batch') == id then
      call('DEL', key('idembatch', b.tenant, b.idempotency))
    end
  end
  return 0
end
