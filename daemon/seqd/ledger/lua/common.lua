-- Shared by all scripts: put in front of each when it is loaded (seqd.ledger.scripts).
--
-- Every script takes the key prefix as ARGV[1] and builds its keys here, by the names that
-- seqd_schemas.keys documents. Every time is the server's: no worker's clock is trusted.
local PREFIX = ARGV[1]
local PRIORITIES = {'interactive', 'normal', 'bulk'}
local EVENTS_KEPT, ALL_EVENTS_KEPT = 1000, 10000
local PROGRESS_EVERY_MS = 250
-- What the worker leaves of its lease index if it never comes back to it.
local WORKER_LEASES_TTL_S = 86400

local time = redis.call('TIME')
local NOW = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function job_key(id) return PREFIX .. ':job:{' .. id .. '}' end
local function timers_key() return PREFIX .. ':timers' end
local function group_key(group) return PREFIX .. ':group:' .. group end
local function route_key(route, priority) return PREFIX .. ':route:' .. route .. ':' .. priority end
local function bell_key(route) return PREFIX .. ':bell.' .. route end
local function worker_leases_key(worker) return PREFIX .. ':worker:' .. worker .. ':leases' end

local function next_turn() return redis.call('INCR', PREFIX .. ':turn') end

local function is_open(state) return state == 'queued' or state == 'running' end

-- "ATTEMPT WORKER" -> attempt, worker
local function lease_of(key, unit)
  local lease = redis.call('HGET', key .. ':leases', unit)
  if not lease then return nil, nil end
  local attempt, worker = string.match(lease, '^(%d+) (.*)$')
  return tonumber(attempt), worker
end

-- Put a job behind the others of its group, tenant by tenant: start-time fair queueing (Goyal,
-- Vin and Cheng 1996). Each tenant has a clock that moves on by one for each turn it is given, and
-- never lags behind the turn that was served last; so a tenant with a thousand jobs gets as many
-- turns as one with a single job, and one that was away for a while cannot save turns up.
local SERVED = ':served'  -- no tenant's name begins with a colon
local function take_a_place(id, group, tenant)
  local clocks = group_key(group) .. ':clocks'
  local row = redis.call('HMGET', clocks, tenant, SERVED)
  local turn = math.max(tonumber(row[1] or '0'), tonumber(row[2] or '0')) + 1
  redis.call('HSET', clocks, tenant, turn)
  redis.call('ZADD', group_key(group), turn, id)
end

-- Put a job with claimable units where the workers look. Idempotent.
local function wake(id)
  local key = job_key(id)
  local job = redis.call('HMGET', key, 'route', 'priority', 'group', 'tenant')
  if not redis.call('ZSCORE', group_key(job[3]), id) then take_a_place(id, job[3], job[4]) end
  redis.call('ZADD', route_key(job[1], job[2]), 'NX', next_turn(), job[3])
  return job[1]
end

-- Take a job away from where the workers look, and its group with it when it was the last one.
local function sleep(id)
  local job = redis.call('HMGET', job_key(id), 'route', 'priority', 'group')
  redis.call('ZREM', group_key(job[3]), id)
  if redis.call('EXISTS', group_key(job[3])) == 0 then
    redis.call('ZREM', route_key(job[1], job[2]), job[3])
    redis.call('DEL', group_key(job[3]) .. ':clocks')
  end
end

-- A part of a split unit is called UNIT:FIRST:END; its unit is what stands in front.
local function unit_of(name) return string.match(name, '^[^:]+') end

-- Make a unit claimable now. An intake waits until few units are left: it brings new ones.
local INTAKE_AHEAD_UNITS = 8
local function make_claimable(id, unit)
  local key = job_key(id)
  local rank = tonumber(unit_of(unit))
  if unit == 'intake' then
    rank = tonumber(redis.call('HGET', key, 'units')) - INTAKE_AHEAD_UNITS
  end
  redis.call('ZADD', key .. ':todo', rank or 0, unit)
  return wake(id)
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

local function counts(key)
  local row = redis.call('HMGET', key, 'total', 'succeeded', 'errored', 'cancelled', 'expired')
  local n = {}
  for i = 1, 5 do n[i] = tonumber(row[i] or '0') end
  n[6] = n[1] - n[2] - n[3] - n[4] - n[5]
  return n
end

local function counts_json(key)
  local n = counts(key)
  return string.format(
    '"counts":{"total":%d,"succeeded":%d,"errored":%d,"cancelled":%d,"expired":%d,"processing":%d}',
    n[1], n[2], n[3], n[4], n[5], n[6])
end

-- Add an event to the job's stream; `body` is JSON without braces, '' for none.
local function emit(id, name, body, state_changed)
  local head = string.format(
    '{"schema_version":1,"event":"%s","job_id":"%s","at_ms":%.0f', name, id, NOW)
  local event = head .. (body == '' and '' or ',' .. body) .. '}'
  redis.call('XADD', job_key(id) .. ':events', 'MAXLEN', '~', EVENTS_KEPT, '*', 'e', event)
  if state_changed then
    redis.call('XADD', PREFIX .. ':events', 'MAXLEN', '~', ALL_EVENTS_KEPT, '*', 'e', event)
  end
end

local function drop_lease(id, unit)
  local key = job_key(id)
  local _, worker = lease_of(key, unit)
  local member = id .. ' ' .. unit
  redis.call('HDEL', key .. ':leases', unit)
  redis.call('ZREM', timers_key(), member)
  if worker then redis.call('SREM', worker_leases_key(worker), member) end
end

-- End a job for good: nothing of it is claimable any more and its keys get their time to live.
local function end_job(id, state, body)
  local key = job_key(id)
  for _, unit in ipairs(redis.call('HKEYS', key .. ':leases')) do drop_lease(id, unit) end
  redis.call('DEL', key .. ':todo')
  sleep(id)
  redis.call('HSET', key, 'state', state, 'ended', NOW)
  redis.call('ZREM', PREFIX .. ':jobs:open', id)
  redis.call('ZREM', PREFIX .. ':uploads', id)
  emit(id, state, body, true)
  local job = redis.call('HMGET', key, 'ttl', 'idempotency')
  local ttl = tonumber(job[1])
  if job[2] and redis.call('GET', job[2]) == id then redis.call('EXPIRE', job[2], ttl) end
  for _, suffix in ipairs({'', ':in', ':out', ':parts', ':sizes', ':attempts', ':crashes', ':events'}) do
    redis.call('EXPIRE', key .. suffix, ttl)
  end
end

local function complete_if_done(id)
  local key = job_key(id)
  local job = redis.call('HMGET', key, 'sealed', 'units', 'units_done', 'training')
  if job[1] ~= '1' or job[2] ~= job[3] then return false end
  local body = counts_json(key)
  if job[4] then body = body .. ',"training":' .. job[4] end
  end_job(id, 'completed', body)
  return true
end
