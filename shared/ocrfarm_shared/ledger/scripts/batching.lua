-- Included after the prelude: what a batch knows of its items. An item is a job, or a file that became none (refused at intake).
--   batch:ID    the record: state of its intake, options, and how many items stand where
--   batch:ID:i  list: the job of item 1, 2, ...; an empty text for a file that became none
--   batch:ID:w  set: its jobs that have not ended
--   batch:ID:e  list: numbers of the items that have ended, in the order in which they did
--   batch:ID:x  sorted set: numbers of the items that did not succeed whole
--   batch:ID:r  hash: number -> what is known of a file that became no job
--   batch:ID:k  hash: the sender's key of an item -> its number and what it must be the same as

local function batch_part(id, part) return key('batch', id, part) end

local function webhook(kind, id, record, state)
  call('RPUSH', key('outbox'), cjson.encode({kind = kind, id = id, tenant = record.tenant, url = record.webhook, state = state, at = NOW}))
end

-- A batch that is closed and has no job under way has ended.
local function settle_batch(id)
  local k = key('batch', id)
  local b = get(k)
  if not b or b.ended ~= '' or b.closed == '' or b.stop == 'delete' or tonumber(b.pending) > 0 then return end
  local items, whole, part = tonumber(b.items), tonumber(b.succeeded), tonumber(b.partial)
  local state = b.stop ~= '' and 'cancelled' or whole == items and 'succeeded' or whole + part == 0 and 'failed' or 'partial'
  call('HSET', k, 'state', state, 'ended', stamp(NOW), 'running', 0)
  call('ZREM', key('batches_open'), id)
  call('ZREM', key('batches_live'), id)
  local seconds = math.ceil(tonumber(b.result_ttl) + tonumber(b.record_ttl))
  call('EXPIRE', k, seconds)
  for _, part_name in ipairs({'i', 'e', 'x', 'r', 'k'}) do call('EXPIRE', batch_part(id, part_name), seconds) end
  if given(b.idempotency) then call('EXPIRE', key('idembatch', b.tenant, b.idempotency), seconds) end
  if given(b.webhook) then webhook('batch', id, b, state) end
  count('batches_' .. state)
  event({batch = id, state = state})
end

local function close_batch(id)
  call('ZREM', key('batches_open'), id)
  local closed = call('HGET', key('batch', id), 'closed')
  if closed ~= '' then return end  -- closed already, or no batch any more
  call('HSET', key('batch', id), 'closed', stamp(NOW))
  event({batch = id})
  settle_batch(id)
end

-- A job of a batch has ended. Done once for each, whoever says it again: the set of those under way decides.
local function item_ended(id, job, state)
  if call('SREM', batch_part(job.batch, 'w'), id) == 0 then return end
  local k = key('batch', job.batch)
  call('HINCRBY', k, state, 1)
  if job.cached ~= '1' and given(call('HGET', key('run', job.run), 'started') or nil) then call('HINCRBY', k, 'running', -1) end
  call('RPUSH', batch_part(job.batch, 'e'), job.item)
  if state ~= 'succeeded' then call('ZADD', batch_part(job.batch, 'x'), job.item, job.item) end
  if call('HINCRBY', k, 'pending', -1) <= 0 then settle_batch(job.batch) end
end

-- A run began: its jobs' batches have so many more that run.
local function items_began(run_id)
  for _, id in ipairs(call('SMEMBERS', key('run', run_id, 'f'))) do
    local batch, state = unpack(call('HMGET', key('job', id), 'batch', 'state'))
    if given(batch or nil) and state == '' then call('HINCRBY', key('batch', batch), 'running', 1) end
  end
end

-- One of those under way, looked at again: it may have ended in a process of a release that knows no batches, or its record may have gone
-- with a farm that stood still. True where there was something to mend.
local function mend_item(batch_id, id)
  local job = get(key('job', id))
  if job and job.state == '' then return false end
  if job then
    item_ended(id, job, job.state)
  elseif call('SREM', batch_part(batch_id, 'w'), id) == 1 then
    call('HINCRBY', key('batch', batch_id), 'failed', 1)
    if call('HINCRBY', key('batch', batch_id), 'pending', -1) <= 0 then settle_batch(batch_id) end
  end
  return true
end
