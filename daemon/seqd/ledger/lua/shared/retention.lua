-- What ended jobs keep, on whose account, and which of them go first when there is no room.
--
-- Shared by all scripts. A tenant's ended jobs stand in buckets by the time of their end, the first to
-- end first. A bucket spans a 32nd of a time to live. When all its jobs have outlived that, what is
-- left of its bytes goes off the account: so an account is right again by itself, also where Redis
-- has let jobs expire, or somebody has deleted them by hand.
local BUCKETS = 32
-- Ended jobs that one call removes at most, of all tenants: about 3 ms. A place whose job is gone costs a
-- sixteenth of one.
local EVICTED_AT_ONCE, EMPTY_PLACE = 8, 1 / 16
local evictable = EVICTED_AT_ONCE
-- Tenants of which one call removes jobs at most, when memory is short.
local TENANTS_AT_ONCE = 4
-- Identifiers of removed jobs that are kept, so that readers can be told why.
local EVICTED_KEPT = 10000
-- Jobs that are removed sooner after their end than this are counted: a reader had little time to fetch them.
local EVICTED_SOON_MS = 3600 * 1000
-- What an ended job takes beside its content: its keys, its hash and its place in the indexes.
local SMALL_JOB_BYTES, LARGE_JOB_BYTES, EVENT_BYTES = 450, 2500, 200

-- The bucket of a job. Jobs that end together share one, so the last answer is kept.
local last_bucket = {}
local function bucket_of(ended, ttl)
  local last = last_bucket
  if last[1] == ended and last[2] == ttl then return last[3] end
  -- Times to live are rounded up to 4 binary digits, or each would have buckets of its own.
  local _, exponent = math.frexp(ttl)
  local step = 2 ^ math.max(exponent - 5, 0)
  local rounded = math.ceil(ttl / step) * step
  local width = rounded * 1000 / BUCKETS
  local number = math.floor(ended / width)
  last_bucket = {ended, ttl, string.format('%.0f:%.0f', rounded, number)}
  return last_bucket[3]
end

-- Add jobs to the bucket that `TENANT BUCKET` names: of each its bytes, and its identifier.
local function add_to_bucket(name, ...)
  local tenant, bucket, rounded, number = string.match(name, '^(%S+) ((%d+):(%d+))$')
  local rows, bytes, ids = {...}, 0, {}
  for i = 1, #rows, 2 do bytes, ids[#ids + 1] = bytes + rows[i], rows[i + 1] end
  local width = rounded * 1000 / BUCKETS
  local from, till = number * width, (number + 1) * width + rounded * 1000
  local key = tenant_key(tenant)
  redis.call('HINCRBY', key .. ':kept', bucket, bytes)
  redis.call('RPUSH', key .. ':ended:' .. bucket, unpack(ids))
  redis.call('PEXPIREAT', key .. ':ended:' .. bucket, string.format('%.0f', till))
  redis.call('ZADD', key .. ':ended', from, bucket)
  redis.call('ZADD', PREFIX .. ':kept', till, name)
end

-- Take a bucket off its tenant's account.
local function forget_bucket(tenant, bucket)
  local key = tenant_key(tenant)
  local bytes = tonumber(redis.call('HGET', key .. ':kept', bucket) or '0')
  redis.call('HDEL', key .. ':kept', bucket)
  redis.call('ZREM', key .. ':ended', bucket)
  redis.call('UNLINK', key .. ':ended:' .. bucket)
  redis.call('ZREM', PREFIX .. ':kept', tenant .. ' ' .. bucket)
  charge(tenant, 0, 0, 0, 0 - bytes)
end

-- Bytes of a small job that has ended.
local function bytes_of_small(key, results, errored)
  local failed = errored and redis.call('HSTRLEN', key .. ':failed', '0') or 0
  return SMALL_JOB_BYTES + #results + failed
end

-- Bytes of any other, which ends in this call.
local function bytes_of_large(key, state, job)
  local row = redis.call('HMGET', key, 'delta_bytes')
  local input = state == 'completed' and 0 or tonumber(job.pending_bytes)
  local deltas = state ~= 'completed' and tonumber(row[1] or '0') or 0
  return LARGE_JOB_BYTES + redis.call('HSTRLEN', key, 'spec') + input + deltas
    + EVENT_BYTES * redis.call('XLEN', key .. ':events') + tonumber(job.kept_bytes or '0')
end

-- An ended job, with what its removal must know; `state` is false when there is none.
local ENDED_FIELDS = {'state', 'idempotency', 'continued_by', 'template', 'group', 'tenant', 'ttl',
  'ended', 'kept_bytes', 'errored', 'continues', 'held_by'}
local function read_ended(id)
  local job, key = read_fields(id, ENDED_FIELDS), job_key(id)
  if is_small(job) then
    local row = redis.call('HMGET', template_key(job.template), 'tenant', 'ttl')
    job.tenant, job.ttl = row[1], row[2]
    job.kept_bytes = bytes_of_small(key, results_of_small(key), job.errored)
  end
  return job
end

-- The bucket of an ended job, or nil: one that is held has none; see continuing.lua.
local function bucket_of_job(job)
  if job.held_by then return nil end
  local ended, ttl = tonumber(job.ended or nil), tonumber(job.ttl or nil)
  return job.tenant and ended and ttl and bucket_of(ended, ttl) or nil
end

-- Take an ended job off its tenant's account.
local function discharge(job)
  if job.held_by then return charge(job.tenant, 0, 0, 0, 0 - tonumber(job.kept_bytes)) end
  local bucket = bucket_of_job(job)
  if not bucket then return end
  local kept = tenant_key(job.tenant) .. ':kept'
  local in_bucket = tonumber(redis.call('HGET', kept, bucket) or '0')
  local bytes = math.min(tonumber(job.kept_bytes or '0') or 0, in_bucket)
  if bytes >= in_bucket then return forget_bucket(job.tenant, bucket) end
  if bytes <= 0 then return end
  redis.call('HINCRBY', kept, bucket, 0 - bytes)
  charge(job.tenant, 0, 0, 0, 0 - bytes)
end

-- Take an ended job out of its bucket, and leave it on its tenant's account.
local function take_out_of_bucket(job)
  local before = tonumber(redis.call('HGET', tenant_key(job.tenant) .. ':kept', bucket_of_job(job)) or '0')
  local bytes = math.min(tonumber(job.kept_bytes or '0'), before)
  discharge(job)
  charge(job.tenant, 0, 0, 0, bytes)
end

-- Return the input of a training that the job which continued it has inherited and not used up.
local function return_input(key, earlier)
  local row = redis.call('HMGET', earlier, 'ended', 'ttl', 'held_by')
  if not (row[1] and row[2]) or redis.call('HEXISTS', key, 'inherits') == 0 then return end
  if redis.call('EXISTS', key .. ':in') == 0 or redis.call('EXISTS', earlier .. ':in') == 1 then return end
  redis.call('RENAME', key .. ':in', earlier .. ':in')
  if row[3] then return redis.call('PERSIST', earlier .. ':in') end
  redis.call('PEXPIREAT', earlier .. ':in', string.format('%.0f', row[1] + row[2] * 1000))
end

-- Remove an ended job with all that it left.
local function remove_ended(id, job)
  local key = job_key(id)
  discharge(job)
  -- Who reads them as one is not to take the first or last of a chain for one whose time to live has passed. One
  -- between two is missed as such a one is: without it, results would be left out of the whole.
  local later = job.continued_by and redis.call('HGET', job_key(job.continued_by), 'continues') == id
  local earlier = job.continues and redis.call('HGET', job_key(job.continues), 'continued_by') == id
  if later and not earlier then redis.call('HDEL', job_key(job.continued_by), 'continues') end
  if earlier and not later then
    redis.call('HDEL', job_key(job.continues), 'continued_by')
    return_input(key, job_key(job.continues))
  end
  if job.idempotency and redis.call('GET', job.idempotency) == id then
    redis.call('UNLINK', job.idempotency)
  end
  if is_small(job) then leave_template(job.template) end
  local names = {key}
  for i, part in ipairs(JOB_PARTS) do names[i + 1] = key .. ':' .. part end
  redis.call('UNLINK', unpack(names))
  redis.call('ZREM', PREFIX .. ':jobs', id)
  redis.call('ZREM', warnings_key(), id .. ' results')
end

-- The job that continues an ended one and has not ended, or nil: it needs what is kept of this one.
local function open_continuation(job)
  local state = job.continued_by and redis.call('HGET', job_key(job.continued_by), 'state')
  return state and is_open(state) and job.continued_by or nil
end

local function note_evicted(ids, reason, soon)
  if #ids == 0 then return end
  redis.call('HINCRBY', PREFIX .. ':evictions', reason, #ids)
  if soon > 0 then redis.call('HINCRBY', PREFIX .. ':evictions', 'within_hour', soon) end
  redis.call('RPUSH', PREFIX .. ':evicted', unpack(ids))
  redis.call('LTRIM', PREFIX .. ':evicted', 0 - EVICTED_KEPT, -1)
end

-- Remove ended jobs of a tenant, the first to end first, until `is_enough` says so.
-- Leaves alone those that ended less than `spared_ms` ago, and the last of all if it is `spared`.
-- Returns how many.
local function evict(tenant, reason, spared_ms, spared, is_enough)
  local key, ids = tenant_key(tenant), {}
  local soon = 0  -- of the removed jobs, those that had just ended
  while evictable > 0 do
    local bucket = redis.call('ZRANGE', key .. ':ended', 0, 0)[1]
    if not bucket or is_enough() then break end
    local list = key .. ':ended:' .. bucket
    local id = redis.call('LINDEX', list, 0)
    local job = id and read_ended(id)
    -- Else it was removed before, is held for a job that continues it, or another job has its identifier by now.
    local is_there = job and job.state and not is_open(job.state) and job.tenant == tenant
      and bucket_of_job(job) == bucket
    if is_there and NOW - job.ended < spared_ms then break end
    local is_last = redis.call('LLEN', list) == 1 and redis.call('ZCARD', key .. ':ended') == 1
    if is_there and spared and is_last then break end
    if id then redis.call('LPOP', list) else forget_bucket(tenant, bucket) end
    evictable = evictable - (is_there and 1 or EMPTY_PLACE)
    if is_there then
      remove_ended(id, job)
      ids[#ids + 1] = id
      if NOW - job.ended < EVICTED_SOON_MS then soon = soon + 1 end
    end
  end
  note_evicted(ids, reason, soon)
  return #ids
end

-- Remove the oldest ended jobs of a tenant that keeps more than it may, but for the last one.
local function enforce_kept(tenant)
  local allowed = limit_of(tenant, 'tenant_kept_bytes')
  if not allowed then return 0 end
  local function is_enough()
    return tonumber(redis.call('HGET', tenant_key(tenant), 'kept_bytes') or '0') <= allowed
  end
  if is_enough() then return 0 end
  return evict(tenant, 'tenant_kept_bytes', 0, true, is_enough)
end

-- Remove the oldest ended jobs of the tenants that keep most.
local function evict_for_memory()
  local spared_ms, evicted = (limit('kept_s') or 0) * 1000, 0
  for _, tenant in ipairs(redis.call('ZREVRANGE', PREFIX .. ':tenants', 0, TENANTS_AT_ONCE - 1)) do
    evicted = evicted + evict(tenant, 'memory', spared_ms, false, function() return false end)
  end
  return evicted
end

-- True when Redis has memory for new work, after making room where that is possible.
local has_evicted = false
local function has_room()
  if not memory_is_short() then return true end
  if has_evicted then return false end
  has_evicted = true
  if evict_for_memory() == 0 then return false end
  memory_state = nil
  redis.call('UNLINK', PREFIX .. ':memory')
  return not memory_is_short()
end

-- Put a job that ends on its tenant's account; of its bytes, `counted` stand there already.
local function keep_job(id, tenant, bytes, counted, ended, ttl)
  charge(tenant, 0, 0, 0, bytes - counted)
  append_later(add_to_bucket, tenant .. ' ' .. bucket_of(ended, ttl), bytes, id)
  add_later(enforce_kept, tenant)
end
