-- One upload becomes a job: a cache hit, a follower of a run in flight, or the first follower of a new run.
local j = A.job
local jk = key('job', j.id)

-- The same call again, because its answer was lost with the connection: it was done.
if call('EXISTS', jk) == 1 then return reply({outcome = 'same', id = j.id, row = row_of(get(jk), true)}) end

-- An upload takes its time: the API key may have been revoked, or have expired, since the request began.
if given(A.key) then
  local expires = call('HGET', key('key', A.key), 'expires')
  if not expires or (expires ~= '' and tonumber(expires) <= NOW) then return reply({outcome = 'revoked'}) end
end

-- Into a batch: it must take items, and its sender may have brought this one before.
local batch = given(A.batch) and A.batch
local b = batch and get(key('batch', batch.id))
if batch then
  local refusal, known = item_refused(b, j.tenant, batch)
  if refusal then return reply({outcome = refusal}) end
  if known then
    local job = known.job and get(key('job', known.job))
    if job then return reply({outcome = 'same', id = known.job, row = row_of(job, true)}) end
    return reply({outcome = 'item', id = text(known.number)})  -- a file that became no job, or a job that is gone by now
  end
end

if given(A.idempotency_key) then
  local k = key('idem', j.tenant, A.idempotency_key)
  local known = call('HMGET', k, 'job', 'print')
  local job = known[1] and get(key('job', known[1]))
  if job then
    take_quota(j.tenant, A.bytes)  -- it was sent and received once more
    if known[2] ~= A.idempotency_print then return reply({outcome = 'conflict'}) end
    return reply({outcome = 'same', id = known[1], row = row_of(job, true)})
  end
end

local hit = nil
if A.use_cache and given(A.cache_key) then
  local id = call('GET', key('cache', A.cache_key))
  local run = id and get(key('run', id))
  if run and run.state == 'succeeded' then hit = id end
end

local over = over_quota(j.tenant, A.bytes, not hit)
if over then
  count('refused_over_quota')
  return reply({outcome = 'quota', refusal = over})
end
local full = not hit and farm_full(j.tenant, A.profile, j.priority)
if full then
  count('refused_farm_full')
  return reply({outcome = 'full', refusal = full})
end

-- An upload that some job holds is whole and on the disk: it need not be stored again. Any other is, and nobody may unlink it meanwhile;
-- one that is being unlinked at this moment must be waited for.
if not A.stored and not (A.found and call('EXISTS', key('blob', j.blob)) == 1) then
  if call('EXISTS', key('reaping', j.blob)) == 1 then return reply({outcome = 'wait'}) end
  call('ZADD', key('pins'), stamp(NOW + A.pin_seconds), j.blob)
  return reply({outcome = 'store'})
end

local run_id, outcome = hit, 'hit'
if not hit then
  local flight = given(A.flight_key)
  local id = A.use_cache and flight and call('GET', key('flight', flight))
  local run = id and get(key('run', id))
  -- A run ends its jobs in one script, which holds up everybody: so a crowd is read once for each thousand of it.
  if open_run(run) and call('SCARD', key('run', id, 'f')) < A.most_followers then
    run_id, outcome = id, 'joined'
    call('HINCRBY', key('run', id), 'following', 1)
    local rank = {interactive = 1, normal = 2, bulk = 3}
    if rank[j.priority] < rank[run.priority] then
      -- Its waiting units are put into the better lane too; the old entries are skipped once they are no longer waiting.
      call('HSET', key('run', id), 'priority', j.priority)
      for _, unit in ipairs(call('SMEMBERS', key('run', id, 'b'))) do
        enqueue(run.profile, j.priority, run.tenant, unit)
      end
    end
  else
    run_id, outcome = A.run_id, 'new'
    local number = A.plan and '0' or '1'
    call('HSET', key('run', run_id), 'id', run_id, 'tenant', j.tenant, 'state', 'queued', 'profile', A.profile, 'priority', j.priority,
      'blob', j.blob, 'media_type', j.media_type, 'options', A.options, 'created', stamp(NOW), 'following', 1,
      'total', A.plan and '' or '1', 'done', 0, 'failed', 0, 'attempt', 0, 'flight', text(flight), 'store', text(A.cache_key),
      'result_ttl', A.result_ttl, 'record_ttl', A.record_ttl, 'schema', A.schema, 'reader', text(A.reader), 'job', j.id,
      'small', A.small and '1' or '')
    if flight then call('SET', key('flight', flight), run_id) end
    local unit = run_id .. ':' .. number
    call('HSET', key('unit', unit), 'run', run_id, 'kind', A.plan and 'plan' or 'page', 'number', number, 'state', 'waiting', 'attempt', '0')
    call('SADD', key('run', run_id, 'b'), unit)
    call('SADD', key('profiles'), A.profile)
    count_pages(j.tenant, 1)  -- of a document that is still to be opened its plan counts the rest
    enqueue(A.profile, j.priority, j.tenant, unit)
  end
end

call('HSET', jk, 'id', j.id, 'tenant', j.tenant, 'run', run_id, 'state', '', 'cached', hit and '1' or '0', 'created', stamp(NOW),
  'priority', j.priority, 'tag', text(j.tag), 'filename', text(j.filename), 'media_type', j.media_type, 'size', j.size, 'blob', j.blob,
  'profile', A.profile, 'submission', A.submission, 'webhook', text(j.webhook), 'idempotency', text(A.idempotency_key),
  'result_ttl', A.result_ttl, 'record_ttl', A.record_ttl)
call('SADD', key('run', run_id, 'f'), j.id)
if batch then
  local number = add_item(batch.id, b, j.id)
  call('HSET', jk, 'batch', batch.id, 'item', number, 'item_key', text(batch.item_key))
  call('SADD', key('batch', batch.id, 'w'), j.id)
  call('HINCRBY', key('batch', batch.id), 'pending', 1)
  if outcome == 'joined' and given(call('HGET', key('run', run_id), 'started') or nil) then
    call('HINCRBY', key('batch', batch.id), 'running', 1)
  end
  remember_item(batch, number)
end
for _, index in ipairs({key('jobs', j.tenant), given(j.tag) and key('tag', j.tenant, j.tag) or nil}) do
  -- Entries older than any record can be go here, so that an index never outgrows its records.
  call('ZADD', index, stamp(NOW), j.id)
  call('ZREMRANGEBYSCORE', index, '-inf', stamp(NOW - A.index_ttl))
  call('EXPIRE', index, math.ceil(A.index_ttl))
end
call('ZREMRANGEBYSCORE', key('results', j.tenant), '-inf', stamp(NOW - 3600))  -- and of results what ran out unseen
-- Records that only answer 410 any more go early where a tenant has more of them than jobs with results: of the oldest ten, for each new one.
if A.limits.records > 0 and call('ZCARD', key('jobs', j.tenant)) > 4 * A.limits.records then
  for _, id in ipairs(call('ZRANGE', key('jobs', j.tenant), 0, 9)) do
    local old = get(key('job', id))
    if not old then call('ZREM', key('jobs', j.tenant), id) elseif old.gone == '1' then forget_record(id, old) end
  end
end
take_quota(j.tenant, A.bytes)
call('SADD', key('blob', j.blob), j.id)
call('ZREM', key('blob_gc'), j.blob)
if given(A.idempotency_key) then
  call('HSET', key('idem', j.tenant, A.idempotency_key), 'job', j.id, 'print', A.idempotency_print)
end
count('jobs_submitted')
if hit then
  count('cache_hits')
  end_job(j.id, get(jk), 'succeeded', nil)
  keep(hit, math.ceil(A.result_ttl + A.record_ttl))
  call('EXPIRE', key('cache', A.cache_key), math.ceil(A.result_ttl))
else
  call('ZADD', key('active'), stamp(NOW), j.id)
  call('ZADD', key('active', j.tenant), stamp(NOW), j.id)
  if given(j.deadline_s) then call('ZADD', key('deadlines'), stamp(NOW + j.deadline_s), j.id) end
  if outcome == 'joined' then count('runs_joined') end
  hand_out(A.profile)
  if outcome == 'new' then hasten(A.profile, j.priority, j.tenant) end
end
return reply({outcome = outcome, id = j.id, row = row_of(get(jk), true)})
