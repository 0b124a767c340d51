-- A gateway is about to store and submit this upload: nobody may unlink it for a while. While it is being unlinked, wait.
if call('EXISTS', key('reaping', A.blob)) == 1 then return reply({wait = true}) end
call('ZADD', key('pins'), stamp(NOW + A.seconds), A.blob)
return reply({wait = false})
