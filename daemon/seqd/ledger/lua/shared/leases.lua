-- Who works on a unit.
--
-- Shared by all scripts. A lease stands in the job, its end among the timers, and once more with
-- its worker, so that the worker's death gives all of it back.

-- What the worker leaves of its lease index if it never comes back to it.
local WORKER_LEASES_TTL_S = 86400

-- "ATTEMPT WORKER" -> attempt, worker
local function lease_of(key, unit)
  local lease = redis.call('HGET', key .. ':leases', unit)
  if not lease then return nil, nil end
  local attempt, worker = string.match(lease, '^(%d+) (.*)$')
  return tonumber(attempt), worker
end

-- The number of items of a unit; the only one of a sealed job may have no entry among the sizes.
local function size_of(key, unit, job)
  if unit == 'train' then return '1' end
  local is_only = unit == '0' and job.units == '1' and job.sealed == '1'
  return redis.call('HGET', key .. ':sizes', unit) or (is_only and job.total)
end

-- Let a unit go; true when somebody held it. `job` is what was read of its job, if it was.
local function drop_lease(id, unit, job)
  local key = job_key(id)
  local _, worker = lease_of(key, unit)
  local member = id .. ' ' .. unit
  write_shared('ZREM', timers_key(), member)
  if worker then
    redis.call('HDEL', key .. ':leases', unit)
    write_shared('SREM', worker_leases_key(worker), member)
  end
  if job and not job.capped then return worker ~= nil end
  -- The job had as many units under way as it may: now there is room for one more.
  if redis.call('HDEL', key, 'capped') == 1 and redis.call('EXISTS', key .. ':todo') == 1 then
    wake(id)
  end
  return worker ~= nil
end
