-- A document was opened: its pages become units, a window of them at once.
even_when_full()
local u, run = settle(A.unit, A.token)
if not u then return reply({recorded = false}) end
local rk = key('run', u.run)
call('HSET', rk, 'total', #A.pages, 'page_count', A.page_count)
for i = 1, #A.pages, 1000 do  -- unpack() has a limited stack
  call('RPUSH', key('run', u.run, 'n'), unpack(A.pages, i, math.min(i + 999, #A.pages)))
end
count_pages(run.tenant, #A.pages - 1)  -- one was counted when it came
count('pages_behind', #A.pages)  -- known, and in no lane yet
stock(u.run, run, A.window)
event({run = u.run, total = #A.pages})
hand_out(u.profile)
return reply({recorded = true, next = take_next(A.next)})
