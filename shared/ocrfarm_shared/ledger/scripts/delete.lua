-- Delete: everything of this job goes; a job under way is cancelled first.
even_when_full()
local job = get(key('job', A.id))
if not job or job.tenant ~= A.tenant then return reply({outcome = 'unknown'}) end
if job.state == '' then
  end_job(A.id, job, 'cancelled', nil)
  leave(A.id, job)
end
if job.gone ~= '1' then forget_result(A.id, job) end
if given(job.idempotency) then
  local known = key('idem', job.tenant, job.idempotency)
  if call('HGET', known, 'job') == A.id then call('DEL', known) end  -- it may name a later job by now
end
forget_record(A.id, job)
return reply({outcome = 'deleted'})
