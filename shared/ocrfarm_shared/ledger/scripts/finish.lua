-- A page was read: store it once, by the holder of the token alone; the last one ends the run and every job that follows it.
even_when_full()
local u = settle(A.unit, A.token)
if not u then return reply({recorded = false}) end
local rk = key('run', u.run)
call('HSET', key('run', u.run, 'p'), u.number, BYTES)
if not A.cacheable then call('HSET', rk, 'uncacheable', '1') end
call('HINCRBY', rk, 'done', 1)
count('pages_read')
for name, n in pairs(A.counters) do count(name, n) end
local bucket = key('rate', string.format('%d', math.floor(NOW / 10)))
call('INCR', bucket)
call('EXPIRE', bucket, 120)
event({run = u.run, page = tonumber(u.number)})
local took = finish_if_last(u.run)
hand_out(u.profile)
return reply({recorded = true, took = took})
