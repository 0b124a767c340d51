-- A file of a batch that cannot become a job is an item with an error; its neighbours go on.
local batch = A.batch
local b = get(key('batch', batch.id))
local refusal, known = item_refused(b, A.tenant, batch)
if refusal then return reply({outcome = refusal}) end
if known then return reply({outcome = 'same', number = known.number}) end
local number = add_item(batch.id, b, '')
call('HSET', batch_part(batch.id, 'r'), number, cjson.encode({filename = given(A.filename), key = given(batch.item_key), error = A.failure, at = NOW}))
call('HINCRBY', key('batch', batch.id), 'refused', 1)
call('RPUSH', batch_part(batch.id, 'e'), number)
call('ZADD', batch_part(batch.id, 'x'), number, number)
remember_item(batch, number)
count('batch_items_refused')
event({batch = batch.id, item = number})
return reply({outcome = 'new', number = number})
