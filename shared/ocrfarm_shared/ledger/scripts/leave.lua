-- How many of the last waiting units each process leaves to faster ones, by profile. A profile that is not named has no such numbers.
even_when_full()
for _, profile in ipairs(call('SMEMBERS', key('profiles'))) do
  local k = key('spare', profile)
  call('DEL', k)
  local flat = {}
  for process, n in pairs(A.left[profile] or {}) do
    flat[#flat + 1] = process
    flat[#flat + 1] = n
  end
  for i = 1, #flat, 200 do call('HSET', k, unpack(flat, i, math.min(i + 199, #flat))) end
  if #flat > 0 then call('EXPIRE', k, math.ceil(A.seconds)) end
end
return reply({})
