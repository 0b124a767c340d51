-- A gateway is about to store and submit this upload: nobody may unlink it for a while. While it is being unlinked, wait.
if call('EXISTS', key('reaping', A.blob)) == 1 then return reply({outcome = 'wait'}) end
call('ZADD', key('pins'), stamp(NOW + A.seconds), A.blob)
return reply({outcome = call('EXISTS', key('blob', A.blob)) == 1 and 'known' or 'new'})
