-- A page was read: store it once, by the holder of the token alone; the last one ends the run and every job that follows it. Whoever
-- wants more (A.next) gets it with the answer.
even_when_full()
local u = settle(A.unit, A.token)
if not u then return reply({recorded = false, next = take_next(A.next)}) end
local rk = key('run', u.run)
call('HSET', key('run', u.run, 'p'), u.number, BYTES)
if not A.cacheable then call('HSET', rk, 'uncacheable', '1') end
count('pages_read')
-- What a page takes here, a mean that forgets: admit.lua tells it, so that room is kept for the pages that are still to come.
local mean = tonumber(call('HGET', key('stats'), 'page_bytes') or '') or #BYTES
call('HSET', key('stats'), 'page_bytes', string.format('%.0f', mean + (#BYTES - mean) / 50))
for name, n in pairs(A.counters) do count(name, n) end
local bucket = key('rate', string.format('%d', math.floor(NOW / 10)))
if call('INCR', bucket) == 1 then call('EXPIRE', bucket, 120) end
local took = finish_if_last(u.run)
if not took then event({run = u.run, page = tonumber(u.number)}) end  -- who follows the run hears of its end, too
hand_out(u.profile)
return reply({recorded = true, took = took, next = take_next(A.next)})
