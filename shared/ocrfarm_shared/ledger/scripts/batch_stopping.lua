-- A chunk of a batch that was cancelled or deleted; how many of its jobs are left.
even_when_full()
return reply({left = stop_some(A.id, A.limit)})
