-- A farm whose keys were all revoked asks for none any more. The owner says so; nothing does it by itself.
local left = call('ZCARD', key('keys'))
if left == 0 then call('DEL', key('keys_on')) end
return reply({left = left})
