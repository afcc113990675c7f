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
-- Everything that a job has beside its hash.
local JOB_PARTS = {'todo', 'leases', 'in', 'out', 'failed', 'parts', 'sizes', 'digests', 'attempts',
  'crashes', 'events'}

local time = redis.call('TIME')
local NOW = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function job_key(id) return PREFIX .. ':job:{' .. id .. '}' end
local function timers_key() return PREFIX .. ':timers' end
local function group_key(group) return PREFIX .. ':group:' .. group end
local function route_key(route, priority) return PREFIX .. ':route:' .. route .. ':' .. priority end
local function bell_key(route) return PREFIX .. ':bell.' .. route end
local function worker_leases_key(worker) return PREFIX .. ':worker:' .. worker .. ':leases' end

local function tenant_key(tenant) return PREFIX .. ':tenant:' .. tenant end
local function deadlines_key() return PREFIX .. ':deadlines' end
local function warnings_key() return PREFIX .. ':warnings' end

local function next_turn() return redis.call('INCR', PREFIX .. ':turn') end

local function is_open(state)
  return state == 'queued' or state == 'running' or state == 'paused'
end

-- Keep account of what a tenant has waiting; `jobs` are those that are open. The account goes with
-- the tenant's last open job.
local function charge(tenant, jobs, items, bytes)
  local key = tenant_key(tenant)
  if items ~= 0 then redis.call('HINCRBY', key, 'items', items) end
  if bytes ~= 0 then redis.call('HINCRBY', key, 'bytes', bytes) end
  if jobs ~= 0 and redis.call('HINCRBY', key, 'jobs', jobs) <= 0 then redis.call('DEL', key) end
end

-- What the operator allows: from the settings of the worker that booted last.
local function limit(name) return tonumber(redis.call('HGET', PREFIX .. ':limits', name) or nil) end

-- True when Redis has used more of its memory than new work may take. Measured four times a
-- second at most, since INFO costs as much as the rest of a submit.
local MEMORY_KNOWN_MS = 250
local function memory_is_short()
  local share = limit('memory_share')
  if not share then return false end
  local known = redis.call('GET', PREFIX .. ':memory')
  if not known then
    local info = redis.call('INFO', 'memory')
    local used = tonumber(string.match(info, 'used_memory:(%d+)'))
    local most = tonumber(string.match(info, 'maxmemory:(%d+)'))
    known = (most > 0 and used > most * share) and 'short' or 'enough'
    redis.call('SET', PREFIX .. ':memory', known, 'PX', MEMORY_KNOWN_MS)
  end
  return known == 'short'
end

-- Why a tenant may not hand in so much more, or nil: {'tenant_jobs', waiting, allowed}.
local function over_quota(tenant, jobs, items, bytes)
  local account = redis.call('HMGET', tenant_key(tenant), 'jobs', 'items', 'bytes')
  local more = {jobs, items, bytes}
  for i, name in ipairs({'tenant_jobs', 'tenant_items', 'tenant_bytes'}) do
    local waiting, most = tonumber(account[i] or '0'), limit(name)
    -- What is larger than the whole quota may come alone, or it could never come.
    if most and more[i] > 0 and waiting > 0 and waiting + more[i] > most then
      return {name, waiting, most}
    end
  end
  return nil
end

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

-- Put a job with claimable units where the workers look, unless it is paused. Idempotent.
local function wake(id)
  local key = job_key(id)
  local job = redis.call('HMGET', key, 'route', 'priority', 'group', 'tenant', 'state')
  if job[5] == 'paused' then return job[1] end
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
  -- The job had as many units under way as it may: now there is room for one more.
  if redis.call('HDEL', key, 'capped') == 1 and redis.call('EXISTS', key .. ':todo') == 1 then
    wake(id)
  end
end

-- Warn of an end when a tenth of the time is left, and no more than an hour before it.
local LONGEST_NOTICE_MS = 3600000
local function warn_before(id, what, ends_at, span_ms)
  local notice = math.min(span_ms / 10, LONGEST_NOTICE_MS)
  redis.call('ZADD', warnings_key(), ends_at - notice, id .. ' ' .. what)
end

-- End a job for good: nothing of it is claimable any more and its keys get their time to live.
local function end_job(id, state, body)
  local key = job_key(id)
  -- Before anything is added: a full Redis lets only such a script go on.
  redis.call('DEL', key .. ':todo')
  for _, unit in ipairs(redis.call('HKEYS', key .. ':leases')) do drop_lease(id, unit) end
  sleep(id)
  redis.call('HSET', key, 'state', state, 'ended', NOW)
  redis.call('ZREM', PREFIX .. ':jobs:open', id)
  redis.call('ZREM', PREFIX .. ':uploads', id)
  redis.call('ZREM', deadlines_key(), id)
  redis.call('ZREM', warnings_key(), id .. ' job')
  emit(id, state, body, true)
  local job = redis.call('HMGET', key, 'ttl', 'idempotency', 'tenant', 'pending_bytes')
  local ttl = tonumber(job[1])
  charge(job[3], -1, 0, 0 - tonumber(job[4]))
  warn_before(id, 'results', NOW + ttl * 1000, ttl * 1000)
  if job[2] and redis.call('GET', job[2]) == id then redis.call('EXPIRE', job[2], ttl) end
  redis.call('EXPIRE', key, ttl)
  for _, part in ipairs(JOB_PARTS) do redis.call('EXPIRE', key .. ':' .. part, ttl) end
end

-- End a job before its work is done; `failure` is JSON, '' for none.
local function stop_job(id, state, failure)
  local key = job_key(id)
  redis.call('DEL', key .. ':todo')
  local n = counts(key)
  redis.call('HSET', key, state == 'expired' and 'expired' or 'cancelled', n[6])
  charge(redis.call('HGET', key, 'tenant'), 0, 0 - n[6], 0)
  -- Units that wait out a back-off have a timer and no lease.
  for _, name in ipairs(redis.call('HKEYS', key .. ':attempts')) do
    redis.call('ZREM', timers_key(), id .. ' ' .. name)
  end
  local body = counts_json(key)
  if failure ~= '' then
    redis.call('HSET', key, 'failure', failure)
    body = body .. ',"failure":' .. failure
  end
  end_job(id, state, body)
end

-- End the job whose time has run out.
local function expire_job(id)
  local seconds = redis.call('HGET', job_key(id), 'expires_in')
  stop_job(id, 'expired', '{"code":"expired","retryable":true,"message":"The job was not done ' ..
    'within its expires_in_s of ' .. seconds .. ' seconds. What had finished stays readable; hand ' ..
    'it in again with more time, or retry what is undone with `seqd jobs retry --failed`."}')
end

-- End at most so many jobs whose time has run out.
local function expire_overdue(most)
  local due = redis.call('ZRANGEBYSCORE', deadlines_key(), '-inf', NOW, 'LIMIT', 0, most)
  for _, id in ipairs(due) do
    redis.call('ZREM', deadlines_key(), id)
    local state = redis.call('HGET', job_key(id), 'state')
    if state and is_open(state) then expire_job(id) end
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
