-- Pause a job: units in hand are finished, no other is begun.
--
-- ARGV: prefix, job.
-- Keys: job hash, those of the queue, events.
-- Returns: the job's state afterwards, or 'unknown' when there is no such job.
-- Guarantee: no unit is claimed until the job is resumed, whatever workers are up or come up. The
-- leases of a training and of the ingest are revoked at their next renewal. The deadline goes on.
-- Sent twice it does nothing; a job that has ended keeps its state.
local id = ARGV[2]
local state = redis.call('HGET', job_key(id), 'state')
if not state then return 'unknown' end
if state ~= 'queued' and state ~= 'running' then return state end
dequeue_job(id, read_job(id))
redis.call('HSET', job_key(id), 'state', 'paused')
emit(id, 'paused', counts_json(job_key(id)), true)
return 'paused'
