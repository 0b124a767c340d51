-- Before a document is read off the wire: would a job be refused anyway? submit.lua decides, whatever this answers.
-- `key`: its Idempotency-Key. Where that is known its job is there, whatever the quota says by now.
local repeated = given(A.key) and call('EXISTS', key('idem', A.tenant, A.key)) == 1 or false
local over = over_quota(A.tenant, 0, true, repeated)
local full = not over and not repeated and farm_full(A.tenant) or nil
if over then count('refused_over_quota') elseif full then count('refused_farm_full') end
-- Pages that are still to be read: in no lane yet, waiting, on their way, in a process.
local known = call('HMGET', key('stats'), 'pages_behind', 'page_bytes')
local pages = tonumber(known[1] or '0') or 0
for _, profile in ipairs(call('SMEMBERS', key('profiles'))) do
  for _, set in ipairs({'queued', 'published', 'leases'}) do pages = pages + call('ZCARD', key(set, profile)) end
end
return reply({over = over, full = full, active = call('ZCARD', key('active')), pace = pace(''), pages = pages, page_bytes = tonumber(known[2] or '0') or 0})
