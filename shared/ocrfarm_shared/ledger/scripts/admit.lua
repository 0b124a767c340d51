-- Before a document is read off the wire: would a job be refused anyway? submit.lua decides, whatever this answers.
-- `key`: its Idempotency-Key. Where that is known its job is there, whatever the quota says by now.
local repeated = given(A.key) and call('EXISTS', key('idem', A.tenant, A.key)) == 1 or false
local over = over_quota(A.tenant, 0, true, repeated)
local full = not over and not repeated and farm_full(A.tenant) or nil
if over then count('refused_over_quota') elseif full then count('refused_farm_full') end
return reply({over = over, full = full, active = call('ZCARD', key('active')), pace = pace('')})
