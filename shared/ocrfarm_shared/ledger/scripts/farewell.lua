-- A worker process leaves: its slot goes at once instead of at its lease's end.
even_when_full()
call('ZREM', key('slots'), A.process)
call('ZREM', key('resting'), A.process)
for _, profile in ipairs(A.reads) do call('ZREM', key('readers', profile), A.process) end
call('DEL', key('process', A.process))
for name, n in pairs(A.counters or {}) do count(name, n) end
return reply({})
