-- Forget an ended job with all that it left.
--
-- ARGV: prefix, job.
-- Keys: job hash and all its parts, template, jobs, warnings, idempotency, tenant and its kept, tenants;
--       hashes of the job that continues it and of the one that it continues.
-- Returns: 'removed', 'unknown' when there is no such job; else the job is left alone: 'continued ID'
--          when job ID continues it and has not ended, its own state when it has not ended itself.
-- Guarantee: nothing of the job is left, no other points to it, its tenant's account is less by what it
-- kept, and its idempotency key may be used again.
local id = ARGV[2]
local job = read_ended(id)
if not job.state then
  redis.call('ZREM', PREFIX .. ':jobs', id)
  return 'unknown'
end
if is_open(job.state) then return job.state end
-- A retry takes its items out of this job, a training its checkpoints, and both are read as one.
local other = open_continuation(job)
if other then return 'continued ' .. other end
remove_ended(id, job)
return 'removed'
