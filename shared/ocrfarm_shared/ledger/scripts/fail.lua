-- An attempt failed: by the holder's own word (token), or by its pool's parent, who saw the process die (owner).
even_when_full()
local u = get(key('unit', A.unit))
if not u or u.state ~= 'running' or (given(A.token) and u.token ~= text(A.token)) or (given(A.owner) and u.owner ~= A.owner) then
  return reply({outcome = 'stale'})
end
local outcome = attempt_failed(A.unit, u, A.failure, A.retryable, A.dead_letter, A.max_attempts,
  A.log ~= cjson.null and A.log or nil)
hand_out(u.profile)
return reply({outcome = outcome})
