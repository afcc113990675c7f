-- Lease the unit `ingest` again to the worker for which it is kept, when it is time to read on.
--
-- ARGV: prefix, job, worker, attempt that had it kept, milliseconds of the lease, claimable units of
--       the job that are enough, milliseconds for which it is kept on where they are.
-- Keys: job hash, todo, leases, attempts, crashes, timers, worker leases.
-- Returns: {'leased', attempt, crashes, claimable units}; {'wait'} while enough is claimable, or the job has as many units
--          under way as it may: the unit is kept on; {'lost'} when it is not kept for the worker any more,
--          or the job is paused or ended.
-- Guarantee: the attempt number is higher than any before. Sent twice it leases once.
local id, worker, attempt, lease_ms = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local key, member = job_key(id), ARGV[2] .. ' ingest'
local held, holder = lease_of(key, 'ingest')
local function leased(number)
  return {'leased', number, tonumber(redis.call('HGET', key .. ':crashes', 'ingest') or '0'),
    redis.call('ZCARD', key .. ':todo')}
end
if held then
  return held == attempt + 1 and holder == worker and leased(held) or {'lost'}
end
local kept_by, kept_attempt = ingest_kept_for(id)
local job = redis.call('HMGET', key, 'state', 'max_units')
if kept_by ~= worker or kept_attempt ~= attempt or not may_claim(job[1]) then
  -- Kept for it, and not to go on now: it is released with its worker, or when the time is over.
  if kept_by ~= worker then redis.call('SREM', worker_leases_key(worker), member) end
  return {'lost'}
end
local is_capped = job[2] and redis.call('HLEN', key .. ':leases') >= tonumber(job[2])
if is_capped or redis.call('ZCARD', key .. ':todo') >= tonumber(ARGV[6]) then
  redis.call('ZADD', timers_key(), NOW + ARGV[7], member)
  return {'wait'}
end
return leased(lease_ingest(id, worker, lease_ms))
