-- What each worker process that is alive says of itself.
local out = {}
for _, process in ipairs(call('ZRANGEBYSCORE', key('slots'), stamp(NOW), '+inf')) do
  local info = call('GET', key('process', process))
  if info then out[#out + 1] = {process, info} end
end
return reply({processes = out})
