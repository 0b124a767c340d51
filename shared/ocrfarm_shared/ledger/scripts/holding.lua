-- What a joined node may have and bring: the upload of a unit that it holds, by the token of its claim. `A.key` is the id of the API key
-- that asks; the unit's node must have joined with it.
local u = held(A.unit, A.token)
local run = u and get(key('run', u.run))
if not open_run(run) then return reply({}) end
local joined = call('HGET', key('nodes'), u.node)
if not joined or cjson.decode(joined).key ~= A.key then return reply({}) end
return reply({held = {tenant = run.tenant, blob = run.blob, kind = u.kind, node = u.node}})
