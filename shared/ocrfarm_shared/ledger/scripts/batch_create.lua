-- An empty batch that takes files. The same Idempotency-Key with the same options: the same batch.
local b = A.batch
local k = key('batch', b.id)
if call('EXISTS', k) == 1 then return reply({outcome = 'same', id = b.id}) end
local idem = given(A.idempotency_key) and key('idembatch', b.tenant, A.idempotency_key)
if idem then
  local known = call('HMGET', idem, 'batch', 'print')
  local old = known[1] and get(key('batch', known[1]))
  if old and old.stop ~= 'delete' then
    if known[2] ~= A.idempotency_print then return reply({outcome = 'conflict'}) end
    return reply({outcome = 'same', id = known[1]})
  end
end
local index = key('batches', b.tenant)
call('ZREMRANGEBYSCORE', index, '-inf', stamp(NOW - A.index_ttl))
if call('ZCARD', index) >= A.most_batches then
  for _, id in ipairs(call('ZRANGE', index, 0, 99)) do
    if call('EXISTS', key('batch', id)) == 0 then call('ZREM', index, id) end
  end
end
if call('ZCARD', index) >= A.most_batches then return reply({outcome = 'quota'}) end
call('HSET', k, 'id', b.id, 'tenant', b.tenant, 'state', '', 'created', stamp(NOW), 'closed', '', 'ended', '', 'stop', '',
  'open_s', A.open_s, 'submission', A.submission, 'tag', text(b.tag), 'priority', b.priority, 'profile', b.profile,
  'webhook', text(b.webhook), 'idempotency', text(A.idempotency_key), 'result_ttl', A.result_ttl, 'record_ttl', A.record_ttl,
  'items', 0, 'pending', 0, 'running', 0, 'succeeded', 0, 'partial', 0, 'failed', 0, 'cancelled', 0, 'refused', 0)
call('ZADD', index, stamp(NOW), b.id)
call('ZADD', key('batches_open'), stamp(NOW + A.open_s), b.id)
call('ZADD', key('batches_live'), stamp(NOW), b.id)
if idem then
  call('HSET', idem, 'batch', b.id, 'print', A.idempotency_print)
  call('EXPIRE', idem, math.ceil(A.index_ttl))
end
count('batches_created')
return reply({outcome = 'new', id = b.id})
