-- A node says that it is there, with the key of that id. Its name is its own as long as its key holds; a node whose key is gone may come
-- again with another.
local nodes = key('nodes')
local former = call('HGET', nodes, A.id)
former = former and cjson.decode(former) or nil
if former and former.key ~= A.key and call('EXISTS', key('key', former.key)) == 1 then
  return reply({outcome = 'taken', now = NOW})
end
if not former and call('HLEN', nodes) >= A.most then
  -- A stolen token may have joined under a thousand names: once it is revoked they hold no places.
  for id, record in pairs(get(nodes)) do
    if call('EXISTS', key('key', cjson.decode(record).key)) == 0 then call('HDEL', nodes, id) end
  end
  if call('HLEN', nodes) >= A.most then return reply({outcome = 'full', now = NOW}) end
end
call('HSET', nodes, A.id, cjson.encode({key = A.key, joined = former and former.joined or NOW, seen = NOW, version = A.version,
  machine = A.machine}))
return reply({outcome = 'joined', now = NOW})
