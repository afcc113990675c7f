-- Move a damaged job, whose keys are not what the ledger writes, into quarantine, so that no other
-- script fails at it.
--
-- ARGV: prefix, job, failure as JSON, 1 where it is known to be damaged, else 0.
-- Keys: job hash and all its parts, their names in quarantine, quarantined, jobs, jobs:open,
--       uploads, deadlines, warnings, idempotency, tenant, work_left, events, failures.
-- Returns: 1 when it did, 0 when the job is sound or gone.
-- Guarantee: no unit of it is claimed or committed afterwards. It reads as failed, without results,
-- if its name is one that a job can have; its keys are kept in quarantine for a week, and it is
-- counted as far as the count is a number. A reference to it that is left finds nothing, and is
-- dropped by whoever follows it. A sound job is not changed.
-- The tenant's account has one open job less, and less by what waited; where the counts cannot be
-- read, that goes with the tenant's last open job. A job that does not say whose it is stays on the
-- account: that tenant may have one open job less, and no job or result of anybody is lost.
local id, failure, is_damaged = ARGV[2], ARGV[3], ARGV[4] == '1'
local key, quarantine_key, KEPT_S = job_key(id), PREFIX .. ':quarantine:{' .. id .. '}:', 604800
local TYPES = {todo = 'zset', events = 'stream', deltas = 'stream'}  -- the other parts are hashes
local TEXTS = {'spec', 'kind', 'model', 'queue', 'priority', 'group', 'tenant'}
local COUNTS = {'total', 'succeeded', 'errored', 'cancelled', 'expired', 'pending_bytes'}
local NUMBERS = {'units', 'units_done', 'sealed', 'unit_items', 'ttl', 'created', unpack(COUNTS)}
local OPTIONAL = {'version', 'started', 'ended', 'expires_at', 'event_at', 'expected', 'max_units', 'kept_bytes',
  'unread'}

local function type_of(name) return redis.call('TYPE', name).ok end

-- Up to 15 digits, what a double holds exactly; where they are optional, some may be missing.
local function are_whole(names, is_optional)
  for _, value in ipairs(redis.call('HMGET', key, unpack(names))) do
    local is_whole = value and #value <= 15 and string.find(value, '^%d+$')
    if not is_whole and (value or not is_optional) then return false end
  end
  return true
end

-- Whether scripts can read it. Of a small job that has completed they read no field that they reckon with.
local function is_sound()
  if type_of(key) ~= 'hash' then return false end
  for _, part in ipairs(JOB_PARTS) do
    local kind = type_of(key .. ':' .. part)
    if kind ~= 'none' and kind ~= (TYPES[part] or 'hash') then return false end
  end
  local job = read_fields(id, {'state', 'template', 'group'})
  if is_small(job) then return true end
  for _, text in ipairs(redis.call('HMGET', key, unpack(TEXTS))) do
    if not text then return false end
  end
  return (is_open(job.state) or has_ended(job.state)) and are_whole(NUMBERS) and are_whole(OPTIONAL, true)
end

if not is_damaged and is_sound() then return 0 end
local was_there, job, items, bytes = redis.call('EXISTS', key) == 1, {}, 0, 0
if type_of(key) == 'hash' then
  job = read_fields(id, {'kind', 'model', 'tenant', 'digest', 'idempotency', 'state', 'queue', 'unread', 'kept_bytes',
    unpack(COUNTS)})
  if are_whole(COUNTS) then
    items, bytes = math.max(counts_of(job)[6], 0), tonumber(job.pending_bytes)
  end
  if has_ended(job.state) then pcall(function() discharge(read_ended(id)) end) end
end
local moved = 0
for _, part in ipairs({'hash', unpack(JOB_PARTS)}) do
  local name = part == 'hash' and key or key .. ':' .. part
  -- Whoever watches the job waits for its end in its events.
  if redis.call('EXISTS', name) == 1 and (part ~= 'events' or type_of(name) ~= 'stream') then
    redis.call('RENAME', name, quarantine_key .. part)
    moved = moved + redis.call('EXPIRE', quarantine_key .. part, KEPT_S)
  end
end
if moved == 0 then return 0 end

if redis.call('ZREM', PREFIX .. ':jobs:open', id) == 1 and job.tenant then
  local kept_bytes = math.max(tonumber(job.kept_bytes or '0') or 0, 0)
  pcall(charge, job.tenant, -1, 0 - items, 0 - bytes, 0 - kept_bytes)  -- the account may be damaged as well
  if may_claim(job.state) then
    pcall(count_work, job.queue, 0 - items - (tonumber(job.unread) or 0))
  end
end
redis.call('ZREM', PREFIX .. ':uploads', id)
redis.call('ZREM', deadlines_key(), id)
redis.call('ZREM', warnings_key(), id .. ' job', id .. ' results')
if job.idempotency and redis.pcall('GET', job.idempotency) == id then
  redis.call('UNLINK', job.idempotency)
end
-- Last, and whatever stands there: the job has failed with or without being counted.
local function count_it() redis.pcall('INCR', PREFIX .. ':quarantined') end
if not was_there or #id > 64 or not string.find(id, '^%w[%w_-]*$') then
  redis.call('ZREM', PREFIX .. ':jobs', id)
  count_it()
  return 1
end
local function fitting(value, most, pattern)
  return value and #value <= most and string.find(value, pattern) and value or 'unknown'
end
local kind, request = least_request(job.kind)
local model = fitting(job.model, 40, '^%l[%l%d_]*$')
for _, name in ipairs(NUMBERS) do redis.call('HSET', key, name, 0) end
redis.call('HSET', key, 'kind', kind, 'model', model, 'tenant', fitting(job.tenant, 64,
  '^%w[%w_.-]*$'), 'priority', 'normal', 'queue', '', 'group', '', 'digest', job.digest or '', 'spec',
  '{"kind":"' .. kind .. '","model":"' .. model .. '",' .. request .. '}', 'state', 'failed',
  'failure', failure, 'sealed', 1, 'unit_items', 1, 'created', NOW_TEXT, 'ended', NOW_TEXT, 'ttl', KEPT_S)
redis.call('ZADD', PREFIX .. ':jobs', 'NX', NOW, id)
emit(id, 'failed', counts_json(key) .. ',"failure":' .. failure, true)
add_failed_job(id, failure, items)
redis.call('EXPIRE', key, KEPT_S)
redis.call('EXPIRE', key .. ':events', KEPT_S)
count_it()
return 1
