-- Fail a job whose keys are not what the ledger writes, so that no other script fails at it.
--
-- ARGV: prefix, job, failure as JSON.
-- Keys: job hash and all its parts, jobs:open, uploads, idempotency, tenant, work_left, events, failures.
-- Returns: 1 when it did, 0 when the job is sound or gone.
-- Guarantee: no unit of it is claimed or committed afterwards, and of what it had its hash is kept, for a week;
-- who reads it is told what is wrong with it. It is taken off what it is counted in as far as its own counts are
-- numbers. A reference to it that is left finds nothing, and is dropped by whoever follows it.
local id, failure = ARGV[2], ARGV[3]
local key, KEPT_S = job_key(id), 604800
local TYPES = {todo = 'zset', events = 'stream', deltas = 'stream'}  -- the other parts are hashes
local TEXTS = {'state', 'spec', 'kind', 'model', 'queue', 'priority', 'group', 'tenant'}
local COUNTS = {'total', 'succeeded', 'errored', 'cancelled', 'expired', 'pending_bytes'}
local NUMBERS = {'units', 'units_done', 'sealed', 'unit_items', 'ttl', 'created', unpack(COUNTS)}

local function are_there(names, pattern)
  for _, value in ipairs(redis.call('HMGET', key, unpack(names))) do
    if not value or not string.find(value, pattern) then return false end
  end
  return true
end

local is_hash, parts_fit = redis.call('TYPE', key).ok == 'hash', true
local job = is_hash and read_job(id) or {}
for _, part in ipairs(JOB_PARTS) do
  local kind = redis.call('TYPE', key .. ':' .. part).ok
  parts_fit = parts_fit and (kind == 'none' or kind == (TYPES[part] or 'hash'))
end
if redis.call('EXISTS', key) == 0 then return 0 end
if is_hash and parts_fit and (is_small(job) or are_there(TEXTS, '') and are_there(NUMBERS, '^%d+$')) then return 0 end

local undone = 0
if redis.call('ZREM', PREFIX .. ':jobs:open', id) == 1 and job.tenant then
  local is_counted = are_there(COUNTS, '^%d+$')
  undone = is_counted and counts_of(job)[6] or 0
  charge(job.tenant, -1, 0 - undone, is_counted and 0 - job.pending_bytes or 0, 0 - (job.kept_bytes or 0))
  if may_claim(job.state) then count_work(job.queue, 0 - undone - (job.unread or 0)) end
end
redis.call('ZREM', PREFIX .. ':uploads', id)
if job.idempotency and redis.call('GET', job.idempotency) == id then redis.call('UNLINK', job.idempotency) end
if not is_hash then redis.call('UNLINK', key) end
for _, part in ipairs(JOB_PARTS) do
  -- Whoever watches the job waits for its end in its events.
  local name = key .. ':' .. part
  if part ~= 'events' or redis.call('TYPE', name).ok ~= 'stream' then redis.call('UNLINK', name) end
end
redis.call('HSET', key, 'state', 'failed', 'failure', failure, 'ended', NOW_TEXT)
emit(id, 'failed', '"counts":{"total":0,"succeeded":0,"errored":0,"cancelled":0,"expired":0,"processing":0},' ..
  '"failure":' .. failure, true, job.tenant)
add_failed_job(id, failure, undone)
redis.call('EXPIRE', key, KEPT_S)
redis.call('EXPIRE', key .. ':events', KEPT_S)
return 1
