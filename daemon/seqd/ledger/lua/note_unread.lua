-- Note how many items of a job's file are estimated to be not read yet.
--
-- ARGV: prefix, job, attempt of the unit `ingest`, items.
-- Keys: job hash, leases, work_left.
-- Returns: 1, or 0 when the unit is not the attempt's any more.
-- Guarantee: only the attempt that holds the lease can say so. Sent twice it does nothing. The estimate is
-- part of the work that is left, and goes when the input is complete or the job ends.
local id, attempt, unread = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local key = job_key(id)
if lease_of(key, 'ingest') ~= attempt then return 0 end
local before = tonumber(redis.call('HGET', key, 'unread') or '0')
redis.call('HSET', key, 'unread', unread)
count_work_of(id, unread - before)
return 1
