-- Pause a job: units in hand are finished, no other is begun.
--
-- ARGV: prefix, job, who pauses it ('' where that is not known).
-- Keys: job hash, those of the queue, work_left, events.
-- Returns: the job's state afterwards, or 'unknown' when there is no such job.
-- Guarantee: no unit is claimed until the job is resumed, whatever workers are up or come up. The
-- leases of a training and of the ingest are revoked at their next renewal. The deadline goes on.
-- Sent twice it does nothing; a job that has ended keeps its state.
return pause_job(ARGV[2], ARGV[3])
