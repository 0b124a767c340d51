-- Included after the prelude where a batch takes items.

-- The next item's number. The batch stays open for another `open_s` from now on.
local function add_item(id, b, job_id)
  local number = call('HINCRBY', key('batch', id), 'items', 1)
  call('RPUSH', batch_part(id, 'i'), job_id)
  call('ZADD', key('batches_open'), stamp(NOW + tonumber(b.open_s)), id)
  return number
end

-- What a sender calls an item: the same key again is the same item, and must be of the same content.
local function remember_item(batch, number)
  if given(batch.item_key) then call('HSET', batch_part(batch.id, 'k'), batch.item_key, number .. ' ' .. batch.print) end
end

-- Why an item is not taken ('no_batch', 'closed', 'batch_full', 'conflict'), or which one it is already, or neither.
local function item_refused(b, tenant, batch)
  if not b or b.tenant ~= tenant or b.stop == 'delete' then return 'no_batch' end
  local known = given(batch.item_key) and call('HGET', batch_part(batch.id, 'k'), batch.item_key)
  if known then
    local number, print = string.match(known, '^(%d+) (.*)$')
    if print ~= batch.print then return 'conflict' end
    return nil, {number = tonumber(number), job = given(call('LINDEX', batch_part(batch.id, 'i'), tonumber(number) - 1) or nil)}
  end
  if b.closed ~= '' then return 'closed' end
  if tonumber(b.items) >= batch.most then return 'batch_full' end
end
