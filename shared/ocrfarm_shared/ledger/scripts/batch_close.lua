-- No more files come: the batch ends with its last job, or now.
even_when_full()
local k = key('batch', A.id)
local b = get(k)
if not b or b.tenant ~= A.tenant or b.stop == 'delete' then return reply({outcome = 'unknown'}) end
if b.closed ~= '' then return reply({outcome = 'same'}) end
close_batch(A.id)
return reply({outcome = 'closed'})
