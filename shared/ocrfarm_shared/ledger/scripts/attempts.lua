-- Dead letters of a tenant, newest first, from a cursor (id and score of the last one seen); or of one job, dead letter or not.
local dead = key('dead', A.tenant)
local ids, cursor = {A.id}, ''
if not given(A.id) then
  local from = 0
  if given(A.after) then
    local rank = call('ZREVRANK', dead, A.after)
    -- One that has gone meanwhile: from those on that failed when it did. Some may be seen twice, none is left out.
    from = rank and rank + 1 or call('ZCOUNT', dead, '(' .. A.score, '+inf')
  end
  ids = call('ZREVRANGE', dead, from, from + A.limit - 1)
  if #ids == A.limit and call('ZCARD', dead) > from + A.limit then cursor = call('ZSCORE', dead, ids[#ids]) .. '-' .. ids[#ids] end
end
-- Of one job every attempt is told; of many the last ones, or a few long documents would hold Redis up.
local from = given(A.id) and 0 or -20
local out = {}
for _, id in ipairs(ids) do
  local job = get(key('job', id))
  if job and job.tenant == A.tenant then
    local attempts = {}
    for _, row in ipairs(call('LRANGE', key('run', job.run, 'a'), from, -1)) do attempts[#attempts + 1] = row end
    out[#out + 1] = {id = id, error = job.error or '', ended = job.ended or '', attempts = attempts, filename = text(job.filename), tag = text(job.tag),
      profile = text(job.profile), gone = job.gone == '1',
      dead = call('ZSCORE', dead, id) and true or false}
  elseif not job then
    call('ZREM', dead, id)
  end
end
return reply({rows = out, cursor = cursor})
