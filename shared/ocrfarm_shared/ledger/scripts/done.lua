-- The numbers of the finished pages of some runs, a list for each, in no order.
local out = {}
for i, run in ipairs(A.runs) do out[i] = call('HKEYS', key('run', run, 'p')) end
return out
