-- Cancel or delete a batch: closed at once, its jobs a chunk at a time, so that no batch stops Redis. `left`: call again; whoever dies in
-- between leaves the rest to the dispatcher.
even_when_full()
local b = get(key('batch', A.id))
if not b or b.tenant ~= A.tenant or b.stop == 'delete' then return reply({outcome = 'unknown'}) end
if A.how == 'cancel' and b.ended ~= '' then return reply({outcome = 'ended'}) end
if b.stop ~= A.how then
  call('HSET', key('batch', A.id), 'stop', A.how)
  call('ZADD', key('batches_stopping'), stamp(NOW), A.id)
end
if b.closed == '' then close_batch(A.id) end
return reply({outcome = 'stopping'})
