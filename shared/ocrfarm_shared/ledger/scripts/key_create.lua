-- Make a key. `keys_on` stays when the last key is revoked: a farm that asked for keys does not open by losing them (keys_open.lua).
if call('ZCARD', key('keys')) >= A.most then return reply({now = NOW}) end
local k = key('key', A.id)
call('HSET', k, 'id', A.id, 'digest', A.digest, 'tenant', A.tenant, 'name', A.name, 'roles', A.roles, 'quota', A.quota, 'created', stamp(NOW),
  'expires', given(A.expires_in_s) and stamp(NOW + A.expires_in_s) or '')
call('ZADD', key('keys'), stamp(NOW), A.id)
call('SET', key('keys_on'), '1')
return reply({row = get(k), now = NOW})
