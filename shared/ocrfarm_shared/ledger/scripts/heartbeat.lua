-- A worker process says that it lives; the unit that it holds, if any, keeps its lease.
even_when_full()
-- A process of a drained node is alive, and no slot that pages are handed out for.
local drained = given(A.node) ~= nil and call('HEXISTS', key('drained'), A.node) == 1
call('ZADD', key(drained and 'resting' or 'slots'), stamp(NOW + A.lease_s), A.process)
call('ZREM', key(drained and 'slots' or 'resting'), A.process)
call('SET', key('process', A.process), A.info, 'EX', math.ceil(A.lease_s))
for name, n in pairs(A.counters or {}) do count(name, n) end
for _, profile in ipairs(A.reads) do
  if drained then call('ZREM', key('readers', profile), A.process)
  else call('ZADD', key('readers', profile), stamp(NOW + A.lease_s), A.process) end
end
local state = 'idle'
if given(A.unit) then
  local u = held(A.unit, A.token)
  if not u then
    state = 'stale'
  elseif not open_run(get(key('run', u.run))) then
    state = 'cancelled'
  else
    lease(u.profile, A.unit, A.lease_s)
    if given(A.log) then call('HSET', key('unit', A.unit), 'log', cjson.encode(A.log)) end  -- what is left of it, should it die
    state = 'held'
  end
  for _, also in ipairs(A.along) do  -- units that it reads along with that one
    local other = held(also[1], also[2])
    if other then lease(other.profile, also[1], A.lease_s, true) end
  end
end
for _, profile in ipairs(call('SMEMBERS', key('profiles'))) do
  if call('ZCARD', key('queued', profile)) > 0 then hand_out(profile) end
end
return reply({state = state, now = NOW, drained = drained})
