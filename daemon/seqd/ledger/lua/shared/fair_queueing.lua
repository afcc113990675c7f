-- The queue: which job is next, which units can be claimed, and which workers are to be notified.
--
-- Shared by all scripts. A queue (a route with the version that its jobs run on) leads to groups of
-- jobs (of one kind, model, version and set of parameters), a group to its jobs, a job to its units;
-- only what has claimable units stands there.

-- Append a job to its group, fairly among tenants: start-time fair queueing (Goyal, Vin and Cheng
-- 1996). A tenant is a flow. Its virtual time moves on by one for each job it appends, and never lags
-- behind the group's virtual time, which is that of the job served last; so a tenant with a thousand
-- jobs gets the same share as one with a single job, and one that was away cannot save its share up.
local GROUP_TIME = ':group'  -- no tenant's name begins with a colon
local function add_to_group(id, group, tenant)
  local times = group_key(group) .. ':virtual_times'
  local row = redis.call('HMGET', times, tenant, GROUP_TIME)
  local virtual_time = math.max(tonumber(row[1]) or 0, tonumber(row[2]) or 0) + 1
  redis.call('HSET', times, tenant, virtual_time)
  redis.call('ZADD', group_key(group), virtual_time, id)
end

-- Append a group of jobs to its queue (round robin), unless it stands there.
local function add_group_to_queue(group, queue, priority)
  local name = queue_key(queue, priority)
  if not redis.call('ZSCORE', name, group) then
    redis.call('ZADD', name, next_queue_position(), group)
  end
end

-- Put a job with claimable units where the workers look, unless it is paused; returns its route.
-- Idempotent.
local function enqueue_job(id)
  local key = job_key(id)
  local job = redis.call('HMGET', key, 'queue', 'priority', 'group', 'tenant', 'state')
  local route = route_of(job[1])
  if job[5] == 'paused' then return route end
  if not redis.call('ZSCORE', group_key(job[3]), id) then add_to_group(id, job[3], job[4]) end
  add_group_to_queue(job[3], job[1], job[2])
  return route
end

-- Take a job away from where the workers look, and its group with it when it was the last one.
local function dequeue_job(id, job)
  if redis.call('ZREM', group_key(job.group), id) == 1
      and redis.call('EXISTS', group_key(job.group)) == 0 then
    local place = read_fields(id, {'queue', 'priority'})
    redis.call('ZREM', queue_key(place.queue, place.priority), job.group)
    redis.call('DEL', group_key(job.group) .. ':virtual_times')
  end
end

-- Order of a unit among the claimable ones of its job. The unit `ingest`, which adds new ones, comes
-- when few are left.
local INGEST_AHEAD_UNITS = 8
local function rank_of(unit, units)
  return unit == 'ingest' and units - INGEST_AHEAD_UNITS or tonumber(unit_of(unit)) or 0
end

-- Make a unit claimable now; returns its job's route.
local function make_claimable(id, unit)
  local key = job_key(id)
  local units = unit == 'ingest' and tonumber(redis.call('HGET', key, 'units'))
  redis.call('ZADD', key .. ':todo', rank_of(unit, units), unit)
  return enqueue_job(id)
end

-- Make a unit whose lease was dropped claimable again: now, or after a back-off that doubles with each
-- crash from the second on. Returns the job's route when it is claimable now.
local MAX_BACKOFF_MS = 600000
local function requeue_unit(id, unit, has_crashed, backoff_ms)
  local key = job_key(id)
  if has_crashed then
    local crashes = redis.call('HINCRBY', key .. ':crashes', unit, 1)
    local wait_ms = crashes > 1 and math.min(backoff_ms * 2 ^ (crashes - 2), MAX_BACKOFF_MS) or 0
    if wait_ms > 0 then
      redis.call('ZADD', timers_key(), NOW + wait_ms, id .. ' ' .. unit)
      return nil
    end
  end
  return make_claimable(id, unit)
end

-- True when no wakeup waits in a route's Celery queue. One is enough: whoever takes it looks at the
-- ledger afterwards.
local function needs_wakeup(route) return redis.call('LLEN', wakeup_key(route)) == 0 end

-- The routes of those queues of ARGV[first..] that have claimable units, where a wakeup is needed, which
-- the caller sends.
local function routes_to_notify(first)
  local routes, is_done = {}, {}
  for i = first, #ARGV do
    local route, names = route_of(ARGV[i]), {}
    for at, priority in ipairs(PRIORITIES) do names[at] = queue_key(ARGV[i], priority) end
    if not is_done[route] and redis.call('EXISTS', unpack(names)) > 0 then
      is_done[route] = true
      if needs_wakeup(route) then routes[#routes + 1] = route end
    end
  end
  return routes
end
