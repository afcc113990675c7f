-- Pause a job: units in hand are finished, no other is begun.
--
-- ARGV: prefix, job.
-- Keys: job hash, those of the queue, work_left, its recount, events.
-- Returns: the job's state afterwards, or 'unknown' when there is no such job.
-- Guarantee: no unit is claimed until the job is resumed, whatever workers are up or come up. The
-- leases of a training and of the ingest are revoked at their next renewal. The deadline goes on.
-- Sent twice it does nothing; a job that has ended keeps its state.
local id = ARGV[2]
local state = redis.call('HGET', job_key(id), 'state')
if not state then return 'unknown' end
if state ~= 'queued' and state ~= 'running' then return state end
local job = read_job(id)
dequeue_job(id, job)
count_work(job.queue, job.created, 0 - counts_of(job)[6] - tonumber(job.unread or '0'))
redis.call('HSET', job_key(id), 'state', 'paused')
emit(id, 'paused', counts_json(job_key(id)), true)
return 'paused'
