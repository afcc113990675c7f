-- End a job if its time has run out: who reads it need not wait for a worker to do so.
--
-- ARGV: prefix, job.
-- Keys: as end_job.lua.
-- Returns: 1 when it ended the job, else 0.
-- Guarantee: on the server's clock; a job with time left is not touched.
local id = ARGV[2]
local deadline = redis.call('ZSCORE', deadlines_key(), id)
if not deadline or tonumber(deadline) > NOW then return 0 end
redis.call('ZREM', deadlines_key(), id)
local state = redis.call('HGET', job_key(id), 'state')
if not state or not is_open(state) then return 0 end
expire_job(id)
return 1
