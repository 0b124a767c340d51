-- Included after the prelude where jobs are answered.
-- A job's record beside its run's, and how many units wait before it in its profile, by age: a bound, exact for a single lane.
local function row_of(job, with_position)
  local run = get(key('run', job.run))
  local position = nil
  if job.state == '' and run and run.state == 'queued' and with_position then
    for _, unit in ipairs(call('SMEMBERS', key('run', job.run, 'b'))) do
      local rank = call('ZRANK', key('queued', run.profile), unit)
      if rank and (not position or rank < position) then position = rank end
    end
    position = position or 0
  end
  return {job = job, run = run, position = position}
end
