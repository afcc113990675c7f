-- Which job has its turn, which units can be claimed, and which workers are to be called.
--
-- Shared by all scripts. A route leads to groups of like jobs, a group to its jobs, a job to its
-- units; only what has claimable units stands there.

-- Put a job behind the others of its group, tenant by tenant: start-time fair queueing (Goyal,
-- Vin and Cheng 1996). Each tenant has a clock that moves on by one for each turn it is given, and
-- never lags behind the turn that was served last; so a tenant with a thousand jobs gets as many
-- turns as one with a single job, and one that was away for a while cannot save turns up.
local SERVED = ':served'  -- no tenant's name begins with a colon
local function take_a_place(id, group, tenant)
  local clocks = group_key(group) .. ':clocks'
  local row = redis.call('HMGET', clocks, tenant, SERVED)
  local turn = math.max(tonumber(row[1]) or 0, tonumber(row[2]) or 0) + 1
  redis.call('HSET', clocks, tenant, turn)
  redis.call('ZADD', group_key(group), turn, id)
end

-- Put a group of jobs on its route, behind the others there, if it is not there yet.
local function put_on_route(group, route, priority)
  local name = route_key(route, priority)
  if not redis.call('ZSCORE', name, group) then redis.call('ZADD', name, next_turn(), group) end
end

-- Put a job with claimable units where the workers look, unless it is paused. Idempotent.
local function wake(id)
  local key = job_key(id)
  local job = redis.call('HMGET', key, 'route', 'priority', 'group', 'tenant', 'state')
  if job[5] == 'paused' then return job[1] end
  if not redis.call('ZSCORE', group_key(job[3]), id) then take_a_place(id, job[3], job[4]) end
  put_on_route(job[3], job[1], job[2])
  return job[1]
end

-- Take a job away from where the workers look, and its group with it when it was the last one.
local function sleep(id, job)
  if redis.call('ZREM', group_key(job.group), id) == 1
      and redis.call('EXISTS', group_key(job.group)) == 0 then
    local road = read_fields(id, {'route', 'priority'})
    redis.call('ZREM', route_key(road.route, road.priority), job.group)
    redis.call('DEL', group_key(job.group) .. ':clocks')
  end
end

-- Make a unit claimable now. An intake waits until few units are left: it brings new ones.
local INTAKE_AHEAD_UNITS = 8
local function rank_of(unit, units)
  return unit == 'intake' and units - INTAKE_AHEAD_UNITS or tonumber(unit_of(unit)) or 0
end

local function make_claimable(id, unit)
  local key = job_key(id)
  local units = unit == 'intake' and tonumber(redis.call('HGET', key, 'units'))
  redis.call('ZADD', key .. ':todo', rank_of(unit, units), unit)
  return wake(id)
end

-- Let a unit that was dropped come back: at once, or after a back-off that doubles with each crash
-- from the second on. Gives the job's route when it is claimable now.
local LONGEST_BACKOFF_MS = 600000
local function come_back(id, unit, has_crashed, backoff_ms)
  local key = job_key(id)
  if has_crashed then
    local crashes = redis.call('HINCRBY', key .. ':crashes', unit, 1)
    local wait_ms = crashes > 1 and math.min(backoff_ms * 2 ^ (crashes - 2), LONGEST_BACKOFF_MS) or 0
    if wait_ms > 0 then
      redis.call('ZADD', timers_key(), NOW + wait_ms, id .. ' ' .. unit)
      return nil
    end
  end
  return make_claimable(id, unit)
end

-- A bell is due when none hangs: whoever hears it looks at the ledger afterwards.
local function needs_bell(route) return redis.call('LLEN', bell_key(route)) == 0 end

-- Those of ARGV[first..] that have claimable units and no bell: the caller rings for them.
local function routes_without_bell(first)
  local routes = {}
  for i = first, #ARGV do
    for _, priority in ipairs(PRIORITIES) do
      if redis.call('EXISTS', route_key(ARGV[i], priority)) == 1 then
        if needs_bell(ARGV[i]) then routes[#routes + 1] = ARGV[i] end
        break
      end
    end
  end
  return routes
end
