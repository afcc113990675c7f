-- Tenants' accounts, the operator's limits, and whether Redis has memory for new work.
--
-- Shared by all scripts. An account changes in the step that changes what it counts.

-- Add to a tenant's account: open jobs, waiting items, waiting bytes, and bytes of results and of ended
-- jobs. What waits is deleted with the tenant's last open job.
local deferred_charges  -- tenant → {jobs, items, bytes, kept}, charged behind a batch; nil outside one
local function charge(tenant, jobs, items, bytes, kept)
  if deferred_charges then
    local sum = deferred_charges[tenant]
    if not sum then
      deferred_charges[tenant] = {jobs, items, bytes, kept or 0}
      return
    end
    sum[1], sum[2], sum[3], sum[4] = sum[1] + jobs, sum[2] + items, sum[3] + bytes, sum[4] + (kept or 0)
    return
  end
  local key = tenant_key(tenant)
  if items ~= 0 then redis.call('HINCRBY', key, 'items', items) end
  if bytes ~= 0 then redis.call('HINCRBY', key, 'bytes', bytes) end
  if jobs ~= 0 and redis.call('HINCRBY', key, 'jobs', jobs) <= 0 then
    redis.call('HDEL', key, 'jobs', 'items', 'bytes')
  end
  if not kept or kept == 0 then return end
  local all = redis.call('HINCRBY', key, 'kept_bytes', kept)
  if all > 0 then
    redis.call('ZADD', PREFIX .. ':tenants', all, tenant)
  else
    redis.call('HDEL', key, 'kept_bytes')
    redis.call('ZREM', PREFIX .. ':tenants', tenant)
  end
end

local function apply_deferred_charges()
  local sums = deferred_charges
  deferred_charges = nil
  for tenant, sum in pairs(sums) do charge(tenant, unpack(sum)) end
end

-- One of the operator's limits, from the settings of the worker that booted last. Read once a call.
local LIMITS = {'tenant_jobs', 'tenant_items', 'tenant_bytes', 'memory_share', 'job_units',
  'tenant_kept_bytes', 'results_ttl_s', 'kept_s'}
local limits
local function limit(name)
  if not limits then
    limits = {}
    local row = redis.call('HMGET', limits_key(), unpack(LIMITS))
    for i, known in ipairs(LIMITS) do limits[known] = tonumber(row[i] or nil) end
  end
  return limits[name]
end

-- What an operator has set for single tenants, by its names there. Read once a call for each of them.
local own_limits = {}
local function own_limits_of(tenant)
  local own = own_limits[tenant]
  if not own then
    local names = {'jobs', 'items', 'bytes', 'kept_bytes', 'results_ttl_s', 'priorities'}
    local row = redis.call('HMGET', limits_key() .. ':' .. tenant, unpack(names))
    own = {}
    for i, name in ipairs(names) do own[name] = row[i] or nil end
    own_limits[tenant] = own
  end
  return own
end

-- A limit that holds for a tenant, nil where there is none, and 1 where it is its own. Worked out once a
-- call for each of them, since a call may bring many jobs of a tenant.
local held_limits = {}  -- tenant → name → {limit, 1 or 0}
local function limit_of(tenant, name)
  local held = held_limits[tenant]
  if not held then
    held = {}
    held_limits[tenant] = held
  end
  local found = held[name]
  if not found then
    local own = tonumber(own_limits_of(tenant)[string.match(name, '^tenant_(.*)') or name])
    found = own and {own, 1} or {limit(name), 0}
    held[name] = found
  end
  return found[1], found[2]
end

-- Add to what a tenant has used today (UTC): `what` is items or trainings; tokens; milliseconds of
-- computing. Tenants beyond the first of a day are counted together, as `*`, so that a day has a bounded
-- number of fields.
local MOST_USE_FIELDS = 40000  -- four of each tenant
local DAY_MS = 86400000
local function use_of_today_key() return usage_key(math.floor(NOW / DAY_MS)) end
local function add_use(tenant, what, count, tokens, busy_ms, days)
  local key = use_of_today_key()
  -- Its first of the day: the counter says so, without another command for all others.
  if redis.call('HINCRBY', key, tenant .. ' ' .. what, count) == count then
    redis.call('EXPIRE', key, (days + 1) * DAY_MS / 1000)
    if tenant ~= '*' and redis.call('HLEN', key) > MOST_USE_FIELDS then
      redis.call('HDEL', key, tenant .. ' ' .. what)
      return add_use('*', what, count, tokens, busy_ms, days)
    end
  end
  redis.call('HINCRBY', key, tenant .. ' tokens', tokens)
  redis.call('HINCRBY', key, tenant .. ' busy_ms', busy_ms)
end

-- True when Redis has used more than its share of memory for new work. Measured four times a second
-- at most, since INFO costs as much as the rest of a submit.
local MEMORY_KNOWN_MS = 250
local memory_state
local function memory_is_short()
  local share = limit('memory_share')
  if not share then return false end
  memory_state = memory_state or redis.call('GET', PREFIX .. ':memory')
  if not memory_state then
    -- A server that does not tell, or not this user, counts as one with room; workers warn of it.
    local info = redis.pcall('INFO', 'memory')
    if type(info) ~= 'string' then info = '' end
    local used = tonumber(string.match(info, 'used_memory:(%d+)')) or 0
    local most = tonumber(string.match(info, 'maxmemory:(%d+)')) or 0
    memory_state = (most > 0 and used > most * share) and 'short' or 'enough'
    -- Not when it is short: a full Redis would refuse to note that down.
    if memory_state == 'enough' then
      redis.call('SET', PREFIX .. ':memory', memory_state, 'PX', MEMORY_KNOWN_MS)
    end
  end
  return memory_state == 'short'
end

-- The results of so many items of one job where they are more than its tenant may keep of all jobs, or
-- nil: {items, bytes of each, allowed, 1 where it is the tenant's own}. `each` are the bytes that one result
-- takes where its vectors do not compress, as those of real models hardly do; nil or false where nobody has said.
local function over_kept(tenant, items, each)
  local bytes = tonumber(each or nil) or 0
  if bytes == 0 then return nil end
  local allowed, is_own = limit_of(tenant, 'tenant_kept_bytes')
  if not allowed or items * bytes <= allowed then return nil end
  return {items, bytes, allowed, is_own}
end

-- Open jobs, waiting items and waiting bytes of a tenant's account. Read once a batch, at whose end it changes.
local accounts_of_batch = {}
local function account_of(tenant)
  local account = deferred_charges and accounts_of_batch[tenant]
  if account then return account end
  account = redis.call('HMGET', tenant_key(tenant), 'jobs', 'items', 'bytes')
  for i = 1, 3 do account[i] = tonumber(account[i] or '0') end
  accounts_of_batch[tenant] = account
  return account
end

-- The quota that a tenant would exceed with so much more, or nil: {'tenant_jobs', waiting, allowed, 1 where
-- it is the tenant's own}.
local QUOTAS, NOTHING = {'tenant_jobs', 'tenant_items', 'tenant_bytes'}, {0, 0, 0}
local function over_quota(tenant, jobs, items, bytes)
  local account = account_of(tenant)
  local more, deferred = {jobs, items, bytes}, deferred_charges and deferred_charges[tenant] or NOTHING
  for i, name in ipairs(QUOTAS) do
    local waiting, most, is_own = account[i] + deferred[i], limit_of(tenant, name)
    -- What is larger than the whole quota may come alone, or it could never come.
    local is_over = most and more[i] > 0 and waiting + more[i] > most
    if is_over and (waiting > 0 or most == 0) then return {name, waiting, most, is_own} end
  end
  return nil
end
