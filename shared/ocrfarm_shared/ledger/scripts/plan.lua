-- A document was opened: its pages become units, a window of them at once.
local u = held(A.unit, A.token)
if not u then count('stale_writes') return reply({recorded = false}) end
call('ZREM', key('leases', u.profile), A.unit)
call('DEL', key('unit', A.unit))
local run = get(key('run', u.run))
if not open_run(run) then
  hand_out(u.profile)
  return reply({recorded = false})
end
local rk = key('run', u.run)
call('HSET', rk, 'total', #A.pages, 'page_count', A.page_count)
for i = 1, #A.pages, 1000 do  -- unpack() has a limited stack
  call('RPUSH', key('run', u.run, 'n'), unpack(A.pages, i, math.min(i + 999, #A.pages)))
end
stock(u.run, run, A.window)
event({run = u.run, total = #A.pages})
hand_out(u.profile)
return reply({recorded = true})
