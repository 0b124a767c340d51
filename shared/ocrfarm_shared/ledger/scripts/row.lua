-- Included after the prelude where jobs are answered.

-- Worker processes that can read a profile; nil where none says so and one is of a release that does not say.
local known_readers = {}
local function readers(profile)
  if known_readers[profile] == nil then
    local n = call('ZCOUNT', key('readers', profile), stamp(NOW), '+inf')
    if n == 0 then
      for _, process in ipairs(call('ZRANGEBYSCORE', key('slots'), stamp(NOW), '+inf')) do
        local info = call('GET', key('process', process))
        if info and not string.find(info, '"reads"', 1, true) then n = false end
      end
    end
    known_readers[profile] = n
  end
  return known_readers[profile] or nil
end

-- A job's record beside its run's, and how many units wait before it in its profile, by age: a bound, exact for a single lane.
local function row_of(job, with_position)
  local run = get(key('run', job.run))
  local position, can = nil, nil
  if job.state == '' and run and run.state == 'queued' and with_position then
    for _, unit in ipairs(call('SMEMBERS', key('run', job.run, 'b'))) do
      local rank = call('ZRANK', key('queued', run.profile), unit)
      if rank and (not position or rank < position) then position = rank end
    end
    position, can = position or 0, readers(run.profile)
  end
  return {job = job, run = run, position = position, readers = can, slots = can and slots()}
end
