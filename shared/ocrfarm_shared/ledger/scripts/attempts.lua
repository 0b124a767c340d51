-- Dead letters of a tenant, newest first; or of one job, dead letter or not.
local ids = given(A.id) and {A.id} or call('ZREVRANGE', key('dead', A.tenant), 0, A.limit - 1)
local out = {}
for _, id in ipairs(ids) do
  local job = get(key('job', id))
  if job and job.tenant == A.tenant then
    local attempts = {}
    for _, row in ipairs(call('LRANGE', key('run', job.run, 'a'), 0, -1)) do attempts[#attempts + 1] = row end
    out[#out + 1] = {id = id, error = job.error or '', ended = job.ended or '', attempts = attempts, filename = text(job.filename), tag = text(job.tag),
      profile = text(job.profile), gone = job.gone == '1',
      dead = call('ZSCORE', key('dead', A.tenant), id) and true or false}
  elseif not job then
    call('ZREM', key('dead', A.tenant), id)
  end
end
return reply({rows = out})
