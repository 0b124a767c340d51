-- A node is to take no more units, or to take them again. Each of its processes hears so with its next heartbeat, or when it claims.
even_when_full()
if A.on then
  call('HSET', key('drained'), A.node, stamp(NOW))
else
  call('HDEL', key('drained'), A.node)
end
return reply({})
