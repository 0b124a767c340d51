-- What came in and became no job counts too: its bytes, and one submission.
take_quota(A.tenant, A.bytes)
return reply({over = over_quota(A.tenant, 0, false)})
