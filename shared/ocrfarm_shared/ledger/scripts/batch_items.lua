-- Items of a batch: by number, or in the order in which they ended, or those that did not succeed. `after`: so many were seen.
local b = get(key('batch', A.id))
if not b or b.tenant ~= A.tenant or b.stop == 'delete' then return reply({unknown = true}) end
local numbers = {}
if A.order == 'ended' then
  numbers = call('LRANGE', batch_part(A.id, 'e'), A.after, A.after + A.limit - 1)
elseif A.order == 'troubled' then
  numbers = call('ZRANGEBYSCORE', batch_part(A.id, 'x'), '(' .. A.after, '+inf', 'LIMIT', 0, A.limit)
else
  for n = A.after + 1, math.min(A.after + A.limit, tonumber(b.items)) do numbers[#numbers + 1] = n end
end
local ids
if A.order == 'number' then ids = call('LRANGE', batch_part(A.id, 'i'), A.after, A.after + A.limit - 1) end
local rows = {}
for at, n in ipairs(numbers) do
  local id = ids and ids[at] or not ids and call('LINDEX', batch_part(A.id, 'i'), n - 1) or ''
  local row = {number = tonumber(n), id = id}
  if id == '' then
    row.refused = call('HGET', batch_part(A.id, 'r'), n) or nil
  else
    local job = get(key('job', id))
    if job then row.row = row_of(job, false) end
  end
  rows[#rows + 1] = row
end
return reply({rows = rows, batch = b})
