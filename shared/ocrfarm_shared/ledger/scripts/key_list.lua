-- Keys, newest first; the secret's digest stays here.
local out = {}
for _, id in ipairs(call('ZREVRANGE', key('keys'), A.offset, A.offset + A.limit - 1)) do
  local row = get(key('key', id))
  if row and (not given(A.tenant) or row.tenant == A.tenant) then
    row.digest = ''
    out[#out + 1] = row
  end
end
return reply({rows = out, total = call('ZCARD', key('keys')), now = NOW})
