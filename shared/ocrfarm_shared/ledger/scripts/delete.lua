-- Delete: everything of this job goes; a job under way is cancelled first.
even_when_full()
local job = get(key('job', A.id))
if not job or job.tenant ~= A.tenant then return reply({outcome = 'unknown'}) end
delete_job(A.id, job)
return reply({outcome = 'deleted'})
