-- A key by its id; and whether this farm ever made one, so that it asks for one.
local row = given(A.id) and get(key('key', A.id)) or nil
return reply({row = row, keys_on = call('EXISTS', key('keys_on')) == 1, now = NOW})
