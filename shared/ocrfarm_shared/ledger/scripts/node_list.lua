-- The nodes that joined. Those that nobody saw for a month are forgotten, and so is what was said of draining them.
local nodes = get(key('nodes')) or {}
for id, record in pairs(nodes) do
  if cjson.decode(record).seen < NOW - A.forget_s then
    call('HDEL', key('nodes'), id)
    call('HDEL', key('drained'), id)
    nodes[id] = nil
  end
end
-- Containers come with a new name each time: a drained one that is gone for good leaves no name behind.
for id, at in pairs(get(key('drained')) or {}) do
  if not nodes[id] and tonumber(at) < NOW - A.forget_s then call('HDEL', key('drained'), id) end
end
local out = {}
for id, record in pairs(nodes) do out[#out + 1] = {id, record} end
return reply({nodes = out, now = NOW})
