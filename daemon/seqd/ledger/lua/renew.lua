-- Renew leases.
--
-- ARGV: prefix, milliseconds of the lease, then job, unit, attempt for each lease.
-- Keys: leases, timers, worker leases.
-- Returns: for each lease 1; 0 when it is lost, since the job ended or another attempt has it; 2 when
--          it is kept and revoked, so that the worker releases the unit soon: its job is paused, and
--          the unit is a training, also one of a sweep, or the ingest, which would go on for long.
-- Guarantee: a lease that was lost is never revived. Works when Redis is full.
local lease_ms = tonumber(ARGV[2])
local kept = {}
for i = 3, #ARGV, 3 do
  local id, unit, attempt = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local current, worker = lease_of(job_key(id), unit)
  if current == attempt then
    -- First, since a full Redis refuses a script that begins with a ZADD.
    redis.call('EXPIRE', worker_leases_key(worker), WORKER_LEASES_TTL_S)
    redis.call('ZADD', timers_key(), 'XX', NOW + lease_ms, id .. ' ' .. unit)
    local job = redis.call('HMGET', job_key(id), 'state', 'kind')
    local is_long = unit == TRAIN_UNIT or unit == 'ingest' or is_sweep(job[2])
    local is_revoked = is_long and is_held(job[1])
    kept[#kept + 1] = is_revoked and 2 or 1
  else
    kept[#kept + 1] = 0
  end
end
return kept
