-- Pause a job, let it go on, or forget it.
--
-- ARGV: prefix, `pause` (units in hand are finished, no other is begun), `resume`, or `remove` (an ended job, with all
--       that it left), job, who does it ('' where that is not known).
-- Keys: job hash and all its parts, template, those of the queue, wakeup, work_left, events, jobs, warnings,
--       idempotency, tenant and its kept, tenants; hashes of the job that continues it and of the one that it continues.
-- Returns: the job's state afterwards, 'unknown' when there is no such job, 'removed' when it is; of one that is not
--          removed 'continued ID' when job ID continues it and has not ended.
-- Guarantee: of a paused job no unit is claimed until it is resumed, whatever workers are up or come up; the leases of
-- a training and of the ingest are revoked at their next renewal, and the deadline goes on. Every unit
-- that was claimable when it was paused, or has become so since, is claimable when it is resumed. Of a job that is
-- removed nothing is left, no other points to it but those on either side of one in the middle of a chain, its tenant's
-- account is less by what it kept, and its idempotency key may be used again. Sent twice it does nothing.
local action, id = ARGV[2], ARGV[3]
if action == 'pause' then return pause_job(id, ARGV[4]) end
if action == 'resume' then return resume_job(id) end
return remove_job(id)
