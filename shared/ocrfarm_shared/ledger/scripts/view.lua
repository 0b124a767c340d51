-- Jobs as they stand: each job's record beside its run's.
local out = {}
for _, id in ipairs(A.ids) do
  local job = get(key('job', id))
  if job and job.tenant == A.tenant then out[#out + 1] = row_of(job, A.position) end
end
return reply({rows = out, now = NOW})
