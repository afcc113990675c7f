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
    local row = redis.call('HMGET', PREFIX .. ':limits', unpack(LIMITS))
    for i, known in ipairs(LIMITS) do limits[known] = tonumber(row[i] or nil) end
  end
  return limits[name]
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

-- The quota that a tenant would exceed with so much more: {'tenant_jobs', waiting, allowed}, or nil.
local function over_quota(tenant, jobs, items, bytes)
  local account = redis.call('HMGET', tenant_key(tenant), 'jobs', 'items', 'bytes')
  local more, deferred = {jobs, items, bytes}, deferred_charges and deferred_charges[tenant] or {0, 0, 0}
  for i, name in ipairs({'tenant_jobs', 'tenant_items', 'tenant_bytes'}) do
    local waiting, most = tonumber(account[i] or '0') + deferred[i], limit(name)
    -- What is larger than the whole quota may come alone, or it could never come.
    if most and more[i] > 0 and waiting > 0 and waiting + more[i] > most then
      return {name, waiting, most}
    end
  end
  return nil
end
