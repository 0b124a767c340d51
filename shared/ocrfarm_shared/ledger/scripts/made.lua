-- An artefact was made and its blob stored: recorded once, by the holder of the token alone. It belongs to the run that it was made of.
even_when_full()
local u, run = settle(A.unit, A.token)
if not u then return reply({recorded = false}) end
local wanted = call('EXISTS', key('run', run.of)) == 1
if wanted then
  call('HSET', key('run', run.of, 'm'), run.name, cjson.encode({blob = A.blob, size = A.size}))
  call('SET', key('made', A.blob), run.of)
  count('artefacts_made')
end
end_run(u.run, run, wanted and 'succeeded' or 'cancelled', nil, false)
hand_out(u.profile)
return reply({recorded = wanted})
