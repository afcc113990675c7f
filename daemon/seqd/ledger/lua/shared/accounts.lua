-- What tenants have waiting, what the operator allows, and whether Redis has room for more.
--
-- Shared by all scripts. An account changes in the step that changes what it counts.

-- Keep account of what a tenant has waiting; `jobs` are those that are open. The account goes with
-- the tenant's last open job.
local owed  -- tenant → {jobs, items, bytes}: charged at the end of the call; nil where at once
local function charge(tenant, jobs, items, bytes)
  if owed then
    local sum = owed[tenant] or {0, 0, 0}
    owed[tenant] = {sum[1] + jobs, sum[2] + items, sum[3] + bytes}
    return
  end
  local key = tenant_key(tenant)
  if items ~= 0 then redis.call('HINCRBY', key, 'items', items) end
  if bytes ~= 0 then redis.call('HINCRBY', key, 'bytes', bytes) end
  if jobs ~= 0 and redis.call('HINCRBY', key, 'jobs', jobs) <= 0 then redis.call('DEL', key) end
end

local function charge_what_is_owed()
  local sums = owed
  owed = nil
  for tenant, sum in pairs(sums) do charge(tenant, sum[1], sum[2], sum[3]) end
end

-- What the operator allows: from the settings of the worker that booted last. Read once a call.
local LIMITS = {'tenant_jobs', 'tenant_items', 'tenant_bytes', 'memory_share', 'job_units'}
local limits
local function limit(name)
  if not limits then
    limits = {}
    local row = redis.call('HMGET', PREFIX .. ':limits', unpack(LIMITS))
    for i, known in ipairs(LIMITS) do limits[known] = tonumber(row[i] or nil) end
  end
  return limits[name]
end

-- True when Redis has used more of its memory than new work may take. Measured four times a
-- second at most, since INFO costs as much as the rest of a submit.
local MEMORY_KNOWN_MS = 250
local known
local function memory_is_short()
  local share = limit('memory_share')
  if not share then return false end
  known = known or redis.call('GET', PREFIX .. ':memory')
  if not known then
    local info = redis.call('INFO', 'memory')
    local used = tonumber(string.match(info, 'used_memory:(%d+)'))
    local most = tonumber(string.match(info, 'maxmemory:(%d+)'))
    known = (most > 0 and used > most * share) and 'short' or 'enough'
    -- Not when it is short: a full Redis would refuse to note that down.
    if known == 'enough' then
      redis.call('SET', PREFIX .. ':memory', known, 'PX', MEMORY_KNOWN_MS)
    end
  end
  return known == 'short'
end

-- Why a tenant may not hand in so much more, or nil: {'tenant_jobs', waiting, allowed}.
local function over_quota(tenant, jobs, items, bytes)
  local account = redis.call('HMGET', tenant_key(tenant), 'jobs', 'items', 'bytes')
  local more, unpaid = {jobs, items, bytes}, owed and owed[tenant] or {0, 0, 0}
  for i, name in ipairs({'tenant_jobs', 'tenant_items', 'tenant_bytes'}) do
    local waiting, most = tonumber(account[i] or '0') + unpaid[i], limit(name)
    -- What is larger than the whole quota may come alone, or it could never come.
    if most and more[i] > 0 and waiting > 0 and waiting + more[i] > most then
      return {name, waiting, most}
    end
  end
  return nil
end
