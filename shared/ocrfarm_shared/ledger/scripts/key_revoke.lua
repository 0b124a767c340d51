-- The key is gone, at once: every request looks it up.
call('ZREM', key('keys'), A.id)
return reply({revoked = call('DEL', key('key', A.id)) == 1})
