-- Included after the prelude where jobs are taken: what a tenant may send, what the farm can take, and when to come again.
-- A.limits: jobs_per_minute, bytes_per_day, pages_per_day, queued, records of the tenant; max_queued, max_waiting_s of the farm; 0 or absent: none.

local function tallied(name, whose, ticks)  -- over so many tens of seconds, the one that runs included
  local tick, n = math.floor(NOW / 10), 0
  for i = 0, ticks - 1 do n = n + tonumber(call('GET', key(name, whose, string.format('%d', tick - i))) or '0') end
  return n
end

-- Jobs that end in a second, by the last minute. `whose`: a tenant, or '' for the farm.
local function pace(whose) return tallied('ends', whose, 7) / (60 + NOW % 10) end

-- Seconds until there is room for the caller and for those who were sent away just before him; at the farm's pace, 30 at most.
local function come_again(whose)
  local before = tallied('refused', whose, 2)
  tally('refused', whose)
  local rate = pace(whose)
  return rate > 0 and math.max(1, math.min(30, (before + 1) / rate)) or 30
end

-- What is not asked first (an upload that becomes no job, one that was sent before) fills a bucket beyond its brim, so often at the most.
local MOST_FILLED = 2

-- A bucket of `span` seconds that each thing fills by `cost` seconds and time empties (GCRA, ITU-T I.371): the seconds by which it would
-- overflow, its key, and the moment at which it would be empty.
local function fill(tenant, name, cost, span)
  local k = key('quota', tenant, name)
  local empty = math.max(tonumber(call('GET', k) or '0'), NOW) + cost
  return empty - NOW - span, k, empty
end

local function buckets(tenant, bytes)
  local limits, out = A.limits, {}
  if limits.jobs_per_minute > 0 then out[#out + 1] = {'jobs_per_minute', 60 / limits.jobs_per_minute, 60} end
  if limits.bytes_per_day > 0 then out[#out + 1] = {'bytes_per_day', bytes * 86400 / limits.bytes_per_day, 86400} end
  return out
end

-- Pages are known when a document was opened, so they are counted then, by hours, and what comes after is refused.
local function count_pages(tenant, n)
  local k = key('pages', tenant, string.format('%d', math.floor(NOW / 3600)))
  call('INCRBY', k, n)
  call('EXPIRE', k, 90000)
end

-- Seconds until this tenant's pages of 24 hours are under its limit; 0 where they are.
local function pages_over(tenant, limit)
  local hour, counts, sum = math.floor(NOW / 3600), {}, 0
  for i = 23, 0, -1 do
    local n = tonumber(call('GET', key('pages', tenant, string.format('%d', hour - i))) or '0')
    counts[#counts + 1], sum = {hour - i, n}, sum + n
  end
  for _, one in ipairs(counts) do
    if sum < limit then break end
    sum = sum - one[2]
    if sum < limit then return (one[1] + 24) * 3600 - NOW end
  end
  return 0
end

-- Why this tenant may not send one more document now, as {limit, seconds to wait}; nil where it may. `waits`: it is no cache hit. `repeated`: its
-- job is there already, so that it takes no room, and is only refused where a bucket is full twice over.
local function over_quota(tenant, bytes, waits, repeated)
  local limits = A.limits
  for _, one in ipairs(buckets(tenant, bytes)) do
    local name, cost, span = unpack(one)
    local over = fill(tenant, name, cost, repeated and MOST_FILLED * span or span)
    if over > 0.000001 then return {limit = one[1], seconds = math.max(1, over)} end
  end
  if repeated then return nil end
  -- Absent where whoever calls is of the release before.
  local wait = (limits.pages_per_day or 0) > 0 and pages_over(tenant, limits.pages_per_day) or 0
  if wait > 0 then return {limit = 'pages_per_day', seconds = wait} end
  local active = call('ZCARD', key('active', tenant))
  if waits and limits.queued > 0 and active >= limits.queued then return {limit = 'queued', seconds = come_again(tenant)} end
  -- By their expiry: of what a farm that stood still for days has lost unseen, the entry may still be there. Nothing is written here, or a full
  -- Redis would take what comes after (it refuses a script's first write alone).
  local kept = stamp(NOW - 3600)
  if limits.records > 0 and active + call('ZCOUNT', key('results', tenant), kept, '+inf') >= limits.records then
    local first = call('ZRANGEBYSCORE', key('results', tenant), kept, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    local seconds = first[2] and tonumber(first[2]) - NOW or come_again(tenant)
    return {limit = 'records', seconds = math.max(1, math.min(3600, seconds))}
  end
  return nil
end

local function take_quota(tenant, bytes)
  for _, one in ipairs(buckets(tenant, bytes)) do
    local name, cost, span = unpack(one)
    local _, k, empty = fill(tenant, name, cost, span)
    empty = math.min(empty, NOW + MOST_FILLED * span)
    call('SET', k, stamp(empty), 'EX', math.ceil(empty - NOW) + 1)
  end
end

-- Why the farm takes nobody's document now. Its age is that of the lane which the document would join: one tenant's long bulk says
-- nothing about how long another's page waits.
local function farm_full(tenant, profile, priority)
  if call('ZCARD', key('active')) >= A.limits.max_queued then return {limit = 'max_queued', seconds = come_again('')} end
  if profile and A.limits.max_waiting_s > 0 then
    local first = call('LINDEX', key('lane', profile, priority, tenant), 0)
    local since = first and call('ZSCORE', key('queued', profile), first)
    if since and NOW - tonumber(since) > A.limits.max_waiting_s then return {limit = 'max_waiting_s', seconds = come_again('')} end
  end
  return nil
end
