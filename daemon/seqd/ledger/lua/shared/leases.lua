-- Leases: which attempt of which worker holds a unit.
--
-- Shared by all scripts. A lease stands in the job, its end among the timers, and once more with
-- its worker, so that all of a dead worker's leases can be released.

-- Time to live of the index of a worker's leases, for a worker that never comes back.
local WORKER_LEASES_TTL_S = 86400

-- "ATTEMPT WORKER" -> attempt, worker
local function lease_of(key, unit)
  local lease = redis.call('HGET', key .. ':leases', unit)
  if not lease then return nil, nil end
  local attempt, worker = string.match(lease, '^(%d+) (.*)$')
  return tonumber(attempt), worker
end

-- Lease the ingest of a job that nobody holds; returns the number of the attempt.
local function lease_ingest(id, worker, lease_ms)
  local key, member = job_key(id), id .. ' ingest'
  redis.call('ZADD', timers_key(), NOW + lease_ms, member)
  redis.call('SADD', worker_leases_key(worker), member)
  redis.call('EXPIRE', worker_leases_key(worker), WORKER_LEASES_TTL_S)
  local attempt = redis.call('HINCRBY', key .. ':attempts', 'ingest', 1)
  redis.call('HSET', key .. ':leases', 'ingest', string.format('%d %s', attempt, worker))
  return attempt
end

-- The number of items of a unit; the only one of a sealed job needs no entry among the sizes.
local function size_of(key, unit, job)
  if unit == TRAIN_UNIT then return '1' end
  local is_only = unit == '0' and job.units == '1' and job.sealed == '1'
  return is_only and job.total or redis.call('HGET', key .. ':sizes', unit)
end

-- Drop the lease of a unit; true when somebody held it. `job` holds its job's fields, if they were read.
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
    enqueue_job(id)
  end
  return worker ~= nil
end

-- The worker for which an ingest is kept between two slices, and the attempt that had it kept; nil when
-- it is not kept (any more), since its time was over or it was claimed since.
local function ingest_kept_for(id)
  local key = job_key(id)
  local attempt, worker = string.match(redis.call('HGET', key, 'ingest_for') or '', '^(%d+) (.*)$')
  if not attempt or redis.call('HGET', key .. ':attempts', 'ingest') ~= attempt then return nil end
  if lease_of(key, 'ingest') or not redis.call('ZSCORE', timers_key(), id .. ' ingest') then return nil end
  return worker, tonumber(attempt)
end

-- Run a command with many members of a key, 500 at a time, since `unpack` puts them on the stack.
local function remove_members(command, key, members)
  for i = 1, #members, 500 do
    redis.call(command, key, unpack(members, i, math.min(i + 499, #members)))
  end
end

-- Drop all leases of a job that ends: out of the timers and out of their workers' indexes.
local function drop_leases(id)
  local key = job_key(id) .. ':leases'
  local leases, members, held = redis.call('HGETALL', key), {}, {}
  if #leases == 0 then return end
  for i = 1, #leases, 2 do
    local member, worker = id .. ' ' .. leases[i], string.match(leases[i + 1], '^%d+ (.*)$')
    members[#members + 1] = member
    if worker then
      held[worker] = held[worker] or {}
      held[worker][#held[worker] + 1] = member
    end
  end
  redis.call('UNLINK', key)
  remove_members('ZREM', timers_key(), members)
  for name, units in pairs(held) do remove_members('SREM', worker_leases_key(name), units) end
end

-- Faults: how often a unit was released by a worker that was not fit for it, since when, and by whom
-- last. The job's hash has `faulted`, so that a claim need not look for what few jobs have.

-- "COUNT SINCE WORKER"
local function note_fault(key, unit, worker)
  local row = redis.call('HGET', key .. ':faults', unit)
  local count, since = string.match(row or '', '^(%d+) (%d+) ')
  redis.call('HSET', key .. ':faults', unit, string.format('%d %s %s', (count or 0) + 1, since or NOW_TEXT,
    worker))
  redis.call('HSET', key, 'faulted', 1)
end

-- The same with the milliseconds since the first fault; nil for a unit that was never released so.
local function faults_of(key, unit)
  local row = redis.call('HGET', key .. ':faults', unit)
  local count, since, worker = string.match(row or '', '^(%d+) (%d+) (.*)$')
  return count and string.format('%s %.0f %s', count, math.max(NOW - tonumber(since), 0), worker)
end

-- Deaths: how the last worker that died with a unit did, "CAUSE MESSAGE". They stand beside the faults,
-- under names that no unit has.

-- Note it, and tell whoever watches the job: once a job, by `is_told`. `told` has the fields of that event
-- as JSON, without its braces. Of one that was no fault of the units, `death` is nil: it is told alone.
local function note_death(id, unit, death, told, is_told)
  if death then redis.call('HSET', job_key(id) .. ':faults', unit .. ' death', death) end
  if is_told[id] then return end
  is_told[id] = true
  emit(id, 'log', told, false)
end

-- '' where it is not known.
local function death_of(key, unit) return redis.call('HGET', key .. ':faults', unit .. ' death') or '' end
