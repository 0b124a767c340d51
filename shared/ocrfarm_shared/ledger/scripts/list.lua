-- Newest first, from a cursor (score of the last one seen). Looks at `scan` records at most, so that no list stalls the farm.
local index = given(A.tag) and key('tag', A.tenant, A.tag) or key('jobs', A.tenant)
local from = given(A.cursor) and ('(' .. A.cursor) or '+inf'
local seen = call('ZREVRANGEBYSCORE', index, from, '-inf', 'WITHSCORES', 'LIMIT', 0, A.scan)
local ids, last = {}, nil
for i = 1, #seen, 2 do
  local id = seen[i]
  last = seen[i + 1]
  local job = get(key('job', id))
  if not job then
    call('ZREM', index, id)
  else
    local state = job.state
    if state == '' then state = call('HGET', key('run', job.run), 'state') or 'queued' end
    if not given(A.state) or state == A.state then ids[#ids + 1] = id end
    if #ids >= A.limit then break end
  end
end
local more = last and call('ZCOUNT', index, '-inf', '(' .. last) > 0
return reply({ids = ids, cursor = more and last or ''})
