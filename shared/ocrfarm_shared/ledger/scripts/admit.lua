-- Before a document is read off the wire: would a job be refused anyway? submit.lua decides, whatever this answers.
local over = over_quota(A.tenant, 0, true)
local full = not over and farm_full(A.tenant) or nil
if over then count('refused_over_quota') elseif full then count('refused_farm_full') end
return reply({over = over, full = full, active = call('ZCARD', key('active')), pace = pace('')})
