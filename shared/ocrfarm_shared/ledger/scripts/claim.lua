-- A worker takes a unit: compare-and-set published/waiting -> running, attempt + 1, a fencing token, a lease.
even_when_full()
local unit = A.unit
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
  return reply({refused = 'gone'})
end
-- Written for readers of a later release: it stays published, and the sweep offers it again until one of those comes.
if (tonumber(run.schema or '') or 1) > A.schema then return reply({refused = 'newer'}) end
if u.state == 'running' then return reply({refused = 'foreign'}) end
-- A node that is to take no more popped it a moment before it heard so.
if call('HEXISTS', key('drained'), A.node) == 1 then
  if u.state == 'published' then publish(run.profile, unit, true) end
  return reply({refused = 'drained'})
end
if u.state == 'waiting' then  -- it went back to its lane after this message was published
  call('ZREM', key('queued', run.profile), unit)
  call('ZREM', key('delayed'), unit)
  call('SREM', key('run', u.run, 'b'), unit)
end
local token = call('INCR', key('tokens'))
local attempt = call('HINCRBY', uk, 'attempt', 1)
call('HSET', uk, 'state', 'running', 'token', token, 'owner', A.owner, 'node', A.node, 'process', A.process, 'profile', run.profile, 'started', stamp(NOW))
call('ZREM', key('published', run.profile), unit)
call('ZADD', key('leases', run.profile), stamp(NOW + A.lease_s), unit)
local rk = key('run', u.run)
if run.state == 'queued' then
  call('HSET', rk, 'state', 'running', 'started', stamp(NOW))
  items_began(u.run)
  event({run = u.run, state = 'running'})
end
if attempt > tonumber(run.attempt) then call('HSET', rk, 'attempt', attempt) end
return reply({token = token, attempt = attempt, run = u.run, kind = u.kind, number = tonumber(u.number), tenant = run.tenant,
  blob = run.blob, media_type = run.media_type, profile = run.profile, options = run.options, reader = text(run.reader),
  source = text(run.of), name = text(run.name), job = text(run.job), priority = run.priority,
  waited = run.state == 'queued' and NOW - tonumber(run.created) or nil})  -- the first that is done of its document
