-- One dispatcher leads: whoever holds the lock, until it lets it lapse.
even_when_full()
local k = key('leader')
local holder = call('GET', k)
if holder and holder ~= A.who then return reply({leads = false}) end
call('SET', k, A.who, 'PX', math.floor(A.seconds * 1000))
return reply({leads = true})
