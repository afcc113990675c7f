-- Tenants' accounts, the operator's limits, and whether Redis has memory for new work.
--
-- Shared by all scripts. An account changes in the step that changes what it counts.

local function charge_now(tenant, jobs, items, bytes, kept)
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

-- Add to a tenant's account: open jobs, waiting items, waiting bytes, and bytes of results and of ended
-- jobs. What waits is deleted with the tenant's last open job.
local function charge(tenant, jobs, items, bytes, kept)
  add_later(charge_now, tenant, jobs, items, bytes, kept)
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

-- What an operator has set for single tenants, by the limit that it replaces, else false. Read once a call for
-- each of them.
local own_limits = {}
local function own_limits_of(tenant)
  local own = own_limits[tenant]
  if not own then
    local row = redis.call('HMGET', limits_key() .. ':' .. tenant, 'jobs', 'items', 'bytes', 'kept_bytes',
      'results_ttl_s', 'priorities')
    own = {tenant_jobs = row[1], tenant_items = row[2], tenant_bytes = row[3], tenant_kept_bytes = row[4],
      results_ttl_s = row[5], priorities = row[6]}
    own_limits[tenant] = own
  end
  return own
end

-- A limit that holds for a tenant, nil where there is none, and 1 where it is its own.
local function limit_of(tenant, name)
  local own = own_limits_of(tenant)[name]
  if own then return tonumber(own), 1 end
  return limit(name), 0
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
  local account = deferred and accounts_of_batch[tenant]
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
  local more, charges = {jobs, items, bytes}, deferred and deferred[charge_now]
  local charged = charges and charges[tenant] or NOTHING
  for i, name in ipairs(QUOTAS) do
    local waiting, most, is_own = account[i] + charged[i], limit_of(tenant, name)
    -- What is larger than the whole quota may come alone, or it could never come.
    local is_over = most and more[i] > 0 and waiting + more[i] > most
    if is_over and (waiting > 0 or most == 0) then return {name, waiting, most, is_own} end
  end
  return nil
end
