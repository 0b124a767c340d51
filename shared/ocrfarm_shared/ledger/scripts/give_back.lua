-- A worker cannot have what it needs for its unit now (the gateway is away), and it is nobody's fault: the unit waits a little and goes to
-- whoever is next, and the attempt does not count.
even_when_full()
local u = held(A.unit, A.token)
if not u then return reply({outcome = 'stale'}) end
local run_id = u.run
local run = get(key('run', run_id))
call('ZREM', key('leases', u.profile), A.unit)
call('ZREM', key('riding', u.profile), A.unit)
if open_run(run) then
  call('HSET', key('unit', A.unit), 'state', 'waiting', 'token', '', 'owner', '', 'log', '', 'attempt', tonumber(u.attempt) - 1)
  call('SADD', key('run', run_id, 'b'), A.unit)
  call('ZADD', key('delayed'), stamp(NOW + A.delay_s), A.unit)
  count('given_back')
else
  call('DEL', key('unit', A.unit))
end
hand_out(u.profile)
return reply({outcome = 'back'})
