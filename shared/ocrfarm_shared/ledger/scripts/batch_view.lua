-- Batches as they stand.
local out = {}
for _, id in ipairs(A.ids) do
  local b = get(key('batch', id))
  if b and b.tenant == A.tenant and b.stop ~= 'delete' then
    b.closes = b.closed == '' and call('ZSCORE', key('batches_open'), id) or nil
    out[#out + 1] = b
  end
end
return reply({rows = out})
