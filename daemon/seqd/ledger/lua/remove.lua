-- Forget an ended job with all that it left.
--
-- ARGV: prefix, job.
-- Keys: job hash and all its parts, template, jobs, warnings, idempotency, tenant and its kept, tenants;
--       hashes of the job that continues it and of the one that it continues.
-- Returns: 'removed', 'unknown' when there is no such job; else the job is left alone: 'continued ID'
--          when job ID continues it and has not ended, its own state when it has not ended itself.
-- Guarantee: nothing of the job is left, no other points to it but those on either side of one in the middle of
-- a chain, its tenant's account is less by what it kept, and its idempotency key may be used again.
return remove_job(ARGV[2])
