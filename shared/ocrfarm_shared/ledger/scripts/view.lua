-- Jobs as they stand: each job's record beside its run's.
local out = {}
for _, id in ipairs(A.ids) do
  local job = get(key('job', id))
  if job and job.tenant == A.tenant then
    local run = get(key('run', job.run))
    local position = nil
    if job.state == '' and run and run.state == 'queued' and A.position then
      -- Units that wait before it in its profile, by age: a bound, exact for a single lane.
      for _, unit in ipairs(call('SMEMBERS', key('run', job.run, 'b'))) do
        local rank = call('ZRANK', key('queued', run.profile), unit)
        if rank and (not position or rank < position) then position = rank end
      end
      position = position or 0
    end
    out[#out + 1] = {job = job, run = run, position = position}
  end
end
return reply({rows = out, now = NOW})
