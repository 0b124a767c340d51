-- Included after the prelude where results are removed.
-- A job's record goes, and every mention of it in the indices.
local function forget_record(id, job)
  call('ZREM', key('expiry'), id)
  call('ZREM', key('results', job.tenant), id)
  call('ZREM', key('jobs', job.tenant), id)
  if given(job.tag) then call('ZREM', key('tag', job.tenant, job.tag), id) end
  call('DEL', key('job', id))
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
    call('DEL', key('run', run_id), key('run', run_id, 'f'), key('run', run_id, 'p'), key('run', run_id, 'a'))
  end
  local refs = key('blob', job.blob)
  call('SREM', refs, id)
  if call('EXISTS', refs) == 0 then call('ZADD', key('blob_gc'), stamp(NOW), job.blob) end
  call('ZREM', key('dead', job.tenant), id)
end
