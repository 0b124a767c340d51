-- A worker takes the unit that a message named, and small ones along with it.
even_when_full()
local taken, why = take_unit(A.unit, A.by)
if not taken then return reply({refused = why}) end
return reply({taken = take_along(taken, A.by)})
