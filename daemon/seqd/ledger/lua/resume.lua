-- Let a paused job go on.
--
-- ARGV: prefix, job.
-- Keys: job hash, todo, those of the queue, work_left, events.
-- Returns: {the job's state afterwards or 'unknown', the route that needs a wakeup or '', 1 when this
--          call resumed it}.
-- Guarantee: every unit that was claimable when the job was paused, or has become so since, is
-- claimable again. Sent twice it does nothing.
return resume_job(ARGV[2])
