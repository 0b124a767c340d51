-- The farm at a glance.
local out = {slots = slots(), queued = 0, published = 0, running = 0, oldest = cjson.null, processes = {}, stats = get(key('stats')) or {},
  active = call('ZCARD', key('active')), outbox = call('LLEN', key('outbox')) + call('ZCARD', key('hooks')), now = NOW, dead = call('ZCARD', key('dead', A.tenant)),
  profiles = {}}
for _, profile in ipairs(call('SMEMBERS', key('profiles'))) do
  local queued = key('queued', profile)
  local n, p, r = call('ZCARD', queued), call('ZCARD', key('published', profile)), call('ZCARD', key('leases', profile))
  out.queued, out.published, out.running = out.queued + n, out.published + p, out.running + r
  out.profiles[profile] = {queued = n, published = p, running = r}
  for _, set in ipairs({queued, key('published', profile)}) do
    local first = call('ZRANGE', set, 0, 0, 'WITHSCORES')
    if first[2] then
      local age = NOW - tonumber(first[2])
      if out.oldest == cjson.null or age > out.oldest then out.oldest = age end
    end
  end
end
for _, set in ipairs({'slots', 'resting'}) do
  for _, process in ipairs(call('ZRANGEBYSCORE', key(set), stamp(NOW), '+inf')) do
    local info = call('GET', key('process', process))
    if info then out.processes[#out.processes + 1] = {process, info, set == 'resting'} end
  end
end
out.drained = get(key('drained')) or {}
local pages, tick = 0, math.floor(NOW / 10)
for i = 1, 6 do pages = pages + tonumber(call('GET', key('rate', string.format('%d', tick - i))) or '0') end
out.pages_per_minute = pages
return reply(out)
