-- Let a paused job go on.
--
-- ARGV: prefix, job.
-- Keys: job hash, todo, those of the queue, wakeup, work_left, events.
-- Returns: the job's state afterwards, or 'unknown' when there is no such job.
-- Guarantee: every unit that was claimable when the job was paused, or has become so since, is
-- claimable again. Sent twice it does nothing.
return resume_job(ARGV[2])
