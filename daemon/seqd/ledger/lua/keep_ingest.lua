-- Release the unit `ingest` between two slices, and keep it for its worker, which has the file open.
--
-- ARGV: prefix, job, attempt, milliseconds for which it is kept at most.
-- Keys: job hash, faults, leases, timers, todo, worker leases, those of the queue.
-- Returns: 1, or 0 when the unit is not the attempt's any more.
-- Guarantee: only the attempt that holds the lease can have it kept. Nobody else claims the unit before
-- the time is over, or its worker is released; then it is claimable as if it had waited out a back-off.
local id, attempt, keep_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local key, member = job_key(id), ARGV[2] .. ' ingest'
local held, worker = lease_of(key, 'ingest')
if held ~= attempt then return 0 end
drop_lease(id, 'ingest')
redis.call('HDEL', key .. ':faults', 'ingest')  -- it goes on: a share that is away later has its whole time
redis.call('HSET', key, 'ingest_for', held .. ' ' .. worker)
redis.call('ZADD', timers_key(), NOW + keep_ms, member)
redis.call('SADD', worker_leases_key(worker), member)
redis.call('EXPIRE', worker_leases_key(worker), WORKER_LEASES_TTL_S)
return 1
