-- Which uploads may be unlinked now: no job refers to them, no gateway is about to. The caller unlinks those returned, then
-- names them in `done`; in between, submit.lua makes gateways wait, so that no upload is unlinked under a new job.
even_when_full()
local free = {}
for _, blob in ipairs(A.done) do call('DEL', key('reaping', blob)) end

-- A farm that stood still for longer than its records live has lost them unseen: what only they referred to is free.
local function wanted(blob)
  local refs = key('blob', blob)
  while true do
    local id = call('SRANDMEMBER', refs)
    if not id then return false end
    if call('EXISTS', key('job', id)) == 1 then return true end
    call('SREM', refs, id)
  end
end

-- What a worker made lives as long as the run that it was made of.
local function made_of_a_run(blob)
  local run = call('GET', key('made', blob))
  if run and call('EXISTS', key('run', run)) == 1 then return true end
  call('DEL', key('made', blob))
  return false
end

local function consider(blob)
  local pinned = call('ZSCORE', key('pins'), blob)
  if wanted(blob) or made_of_a_run(blob) then return true end
  if pinned and tonumber(pinned) >= NOW then return false end
  if call('EXISTS', key('reaping', blob)) == 1 then return false end  -- a dispatcher that led until now is at it
  call('SET', key('reaping', blob), '1', 'EX', 30)
  free[#free + 1] = blob
  return true
end

for _, blob in ipairs(call('ZRANGEBYSCORE', key('blob_gc'), '-inf', stamp(NOW - A.grace_s), 'LIMIT', 0, A.limit)) do
  if consider(blob) then call('ZREM', key('blob_gc'), blob) end
end
for _, blob in ipairs(A.orphans) do consider(blob) end  -- files in the folder that the ledger may never have heard of
return reply({free = free})
