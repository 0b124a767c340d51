-- A webhook was tried: delivered, to be tried again later, or given up. Its job or batch says which.
even_when_full()
local hk = key('hook', A.id)
local hook = get(hk)
if not hook then return reply({outcome = 'gone'}) end
local attempts = tonumber(hook.attempts) + 1
local state, due = 'waiting', nil
if A.delivered then
  state = 'delivered'
elseif A.final or NOW - tonumber(hook.at) + A.wait_s > A.give_up_s then
  state = 'given_up'
else
  due = NOW + A.wait_s
end
count(state == 'waiting' and 'webhooks_failed' or 'webhooks_' .. state)
if due then
  call('HSET', hk, 'attempts', attempts)
  call('ZADD', key('hooks'), stamp(due), A.id)
else
  call('DEL', hk)
  call('ZREM', key('hooks'), A.id)
end
local subject = key(hook.kind, A.id)
if call('EXISTS', subject) == 1 then
  call('HSET', subject, 'hook', cjson.encode({state = state, attempts = attempts, last_at = NOW, status = A.status, error = A.error, next_at = due}))
end
return reply({outcome = state})
