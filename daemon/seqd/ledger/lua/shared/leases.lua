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

local function drop_lease(id, unit)
  local key = job_key(id)
  local _, worker = lease_of(key, unit)
  local member = id .. ' ' .. unit
  redis.call('HDEL', key .. ':leases', unit)
  redis.call('ZREM', timers_key(), member)
  if worker then redis.call('SREM', worker_leases_key(worker), member) end
  -- The job had as many units under way as it may: now there is room for one more.
  if redis.call('HDEL', key, 'capped') == 1 and redis.call('EXISTS', key .. ':todo') == 1 then
    wake(id)
  end
end
