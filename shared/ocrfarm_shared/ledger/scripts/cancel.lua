-- Cancel: at once in the ledger; a page that nobody else wants is dropped by its worker at its next heartbeat or its end.
even_when_full()
local job = get(key('job', A.id))
if not job or job.tenant ~= A.tenant then return reply({outcome = 'unknown'}) end
if job.state ~= '' then return reply({outcome = 'ended'}) end
end_job(A.id, job, 'cancelled', nil)
leave(A.id, job)
return reply({outcome = 'cancelled'})
