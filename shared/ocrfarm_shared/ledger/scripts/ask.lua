-- Something that a worker makes of a job's document is asked for: it is there, it is being made, or this call lets it be made.
local job = get(key('job', A.job))
if not job or job.tenant ~= A.tenant then return reply({outcome = 'unknown'}) end
local source = job.run
local run = job.gone ~= '1' and get(key('run', source))
if not run then return reply({outcome = 'gone'}) end
if A.of_result and open_run(run) then return reply({outcome = 'early'}) end

local mk, order = key('run', source, 'm'), key('run', source, 'o')
local known = call('HGET', mk, A.name)
local m = known and cjson.decode(known) or {}
if m.run and open_run(get(key('run', m.run))) then return reply({outcome = 'making', run = m.run}) end
if m.blob and m.blob ~= given(A.lost) then return reply({outcome = 'ready', blob = m.blob, size = m.size}) end
-- A document that cannot be opened cannot be opened; what failed by the farm's own fault may go well the next time.
if m.failure and not (m.failure.retryable and NOW - m.at > A.again_s) then return reply({outcome = 'failed', failure = m.failure}) end

local making = key('making', A.tenant)
if call('SCARD', making) >= A.most_making then return reply({outcome = 'full', seconds = come_again(A.tenant)}) end

if known then drop_made(known) else call('RPUSH', order, A.name) end
if call('LLEN', order) > A.most_kept then
  local old = call('LPOP', order)
  local other = call('HGET', mk, old)
  if other then drop_made(other) end
  call('HDEL', mk, old)
end

-- A run of its own, that no job follows: it is short, somebody waits for it.
local id = A.run_id
call('HSET', key('run', id), 'id', id, 'tenant', A.tenant, 'state', 'queued', 'profile', run.profile, 'priority', 'interactive',
  'blob', job.blob, 'media_type', job.media_type, 'options', run.options, 'created', stamp(NOW), 'following', 1, 'total', '1', 'done', 0,
  'failed', 0, 'attempt', 0, 'flight', '', 'store', '', 'result_ttl', 600, 'record_ttl', 0, 'schema', A.schema, 'reader', '',
  'of', source, 'name', A.name)
local unit = id .. ':1'
call('HSET', key('unit', unit), 'run', id, 'kind', 'artefact', 'number', A.page, 'state', 'waiting', 'attempt', '0')
call('SADD', key('run', id, 'b'), unit)
call('SADD', making, id)
call('HSET', mk, A.name, cjson.encode({run = id}))
local ttl = call('TTL', key('run', source))
if ttl > 0 then
  call('EXPIRE', mk, ttl)
  call('EXPIRE', order, ttl)
end
enqueue(run.profile, 'interactive', A.tenant, unit)
hand_out(run.profile)
hasten(run.profile, 'interactive', A.tenant)
return reply({outcome = 'making', run = id})
