-- The dispatcher's round over batches: close those that nobody closed, go on with those that were stopped half way, look after counts.
even_when_full()
local done = {closed = 0, stopped = 0, mended = 0}
for _, id in ipairs(call('ZRANGEBYSCORE', key('batches_open'), '-inf', stamp(NOW), 'LIMIT', 0, A.limit)) do
  close_batch(id)
  done.closed = done.closed + 1
end
for _, id in ipairs(call('ZRANGEBYSCORE', key('batches_stopping'), '-inf', stamp(NOW - A.patience_s), 'LIMIT', 0, 2)) do
  stop_some(id, A.limit)
  done.stopped = done.stopped + 1
end
for _, id in ipairs(call('ZRANGEBYSCORE', key('batches_live'), '-inf', stamp(NOW), 'LIMIT', 0, 10)) do
  if call('EXISTS', key('batch', id)) == 0 then
    call('ZREM', key('batches_live'), id)
  else
    call('ZADD', key('batches_live'), stamp(NOW + A.look_s), id)
    for _, job_id in ipairs(call('SRANDMEMBER', batch_part(id, 'w'), A.limit)) do
      if mend_item(id, job_id) then done.mended = done.mended + 1 end
    end
    settle_batch(id)
  end
end
return reply(done)
