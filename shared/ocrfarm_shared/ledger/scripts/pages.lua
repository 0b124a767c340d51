-- Finished pages of a run with a number over `after`, as [number, bytes, ...] in page order, `limit` at most.
local all = call('HKEYS', key('run', A.run, 'p'))
local numbers = {}
for _, n in ipairs(all) do
  if tonumber(n) > A.after then numbers[#numbers + 1] = tonumber(n) end
end
table.sort(numbers)
local out = {}
for i = 1, math.min(#numbers, A.limit) do
  out[#out + 1] = tostring(numbers[i])
  out[#out + 1] = call('HGET', key('run', A.run, 'p'), tostring(numbers[i]))
end
return out
