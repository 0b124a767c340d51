-- A file of a batch that cannot become a job is an item with an error; its neighbours go on.
local batch = A.batch
local b = get(key('batch', batch.id))
local refusal, known = item_refused(b, A.tenant, batch)
if refusal then return reply({outcome = refusal}) end
if known then return reply({outcome = 'same', number = known.number}) end

-- It costs what a job costs: a submission, its bytes, and a place among what is kept of the tenant, as long as its batch may live.
local over = over_quota(A.tenant, 0, false)
local kept = key('refused_items', A.tenant)
call('ZREMRANGEBYSCORE', kept, '-inf', stamp(NOW))
if not over and A.limits.records > 0 and call('ZCARD', kept) >= A.limits.records then
  over = {limit = 'refused_items', seconds = 3600}
end
if over then
  count('refused_over_quota')
  return reply({outcome = 'quota', refusal = over})
end
take_quota(A.tenant, A.bytes)
local number = add_item(batch.id, b, '')
call('HSET', batch_part(batch.id, 'r'), number, cjson.encode({filename = given(A.filename), key = given(batch.item_key), error = A.failure, at = NOW}))
call('HINCRBY', key('batch', batch.id), 'refused', 1)
call('RPUSH', batch_part(batch.id, 'e'), number)
call('ZADD', batch_part(batch.id, 'x'), number, number)
remember_item(batch, number)
local ttl = tonumber(b.result_ttl) + tonumber(b.record_ttl)
call('ZADD', kept, stamp(NOW + ttl), batch.id .. ':' .. number)
call('EXPIRE', kept, math.ceil(ttl))
count('batch_items_refused')
event({batch = batch.id, item = number})
return reply({outcome = 'new', number = number})
