-- An attempt failed: by the holder's own word (token), or by its pool's parent, who saw the process die (owner): then all that it held.
even_when_full()
local units = given(A.owner) and held_by(A.owner) or {A.unit}
local outcome = 'stale'
for _, unit in ipairs(units) do
  local u = get(key('unit', unit))
  if u and u.state == 'running' and (not given(A.token) or u.token == text(A.token)) then
    local became = attempt_failed(unit, u, A.failure, A.retryable, A.dead_letter, A.max_attempts, A.log ~= cjson.null and A.log or nil)
    if outcome == 'stale' or unit == A.unit then outcome = became end
    hand_out(u.profile)
  end
end
return reply({outcome = outcome})
