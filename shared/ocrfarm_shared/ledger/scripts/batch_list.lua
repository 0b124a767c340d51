-- Newest first, from a cursor (score of the last one seen).
local index = key('batches', A.tenant)
local seen = call('ZREVRANGEBYSCORE', index, given(A.cursor) and ('(' .. A.cursor) or '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, A.limit)
local ids, last = {}, nil
for i = 1, #seen, 2 do
  last = seen[i + 1]
  if call('EXISTS', key('batch', seen[i])) == 1 then ids[#ids + 1] = seen[i] else call('ZREM', index, seen[i]) end
end
local more = last and call('ZCOUNT', index, '-inf', '(' .. last) > 0
return reply({ids = ids, cursor = more and last or ''})
