-- Webhooks that are due, lent to a sender for a while: whoever dies with one leaves it to be sent again. `busy`: hosts and tenants that have
-- as many under way as they may; theirs are put off a little, so that a slow target holds up nobody else's.
even_when_full()
for _ = 1, A.drain do
  local raw = call('LPOP', key('outbox'))
  if not raw then break end
  local o = cjson.decode(raw)
  call('HSET', key('hook', o.id), 'id', o.id, 'kind', o.kind, 'tenant', o.tenant, 'url', o.url, 'state', o.state, 'at', stamp(o.at), 'attempts', 0)
  call('ZADD', key('hooks'), stamp(NOW), o.id)
end
local busy, taken = A.busy, {}
for _, id in ipairs(call('ZRANGEBYSCORE', key('hooks'), '-inf', stamp(NOW), 'LIMIT', 0, A.scan)) do
  local hook = get(key('hook', id))
  local subject = hook and get(key(hook.kind, id))
  if not subject or subject.stop == 'delete' then  -- it was deleted, and all of it is gone
    call('ZREM', key('hooks'), id)
    call('DEL', key('hook', id))
  else
    local host, tenant = 'host:' .. string.lower(string.match(hook.url, '^%a+://([^/?#]*)') or ''), 'tenant:' .. hook.tenant
    if (busy[host] or 0) >= A.most_host or (busy[tenant] or 0) >= A.most_tenant then
      call('ZADD', key('hooks'), stamp(NOW + A.put_off_s), id)
    else
      call('ZADD', key('hooks'), stamp(NOW + A.lease_s), id)
      busy[host], busy[tenant] = (busy[host] or 0) + 1, (busy[tenant] or 0) + 1
      hook.host = host
      taken[#taken + 1] = hook
      if #taken >= A.limit then break end
    end
  end
end
return reply({hooks = taken})
