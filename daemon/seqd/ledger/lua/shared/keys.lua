-- Key names, job fields and the time.
--
-- Shared by all scripts; see seqd.ledger.scripts, which also makes `is_open` and what else is asked of a
-- state, of the table of states. Every script takes the key prefix as ARGV[1] and
-- builds its keys here, by the names that seqd_schemas.keys documents. Every time is the server's:
-- no worker's clock is trusted.
local PREFIX = ARGV[1]
local PRIORITIES = {'interactive', 'normal', 'bulk'}
-- Keys of a job beside its hash.
local JOB_PARTS = {'todo', 'leases', 'in', 'out', 'failed', 'parts', 'sizes', 'digests', 'attempts',
  'crashes', 'faults', 'events', 'deltas', 'ranges', 'ahead'}
-- Those of them that are kept after its end: those that most jobs have, and those that few have.
local USUAL_PARTS, RARE_PARTS = {'out', 'attempts', 'events'}, {'in', 'failed', 'parts', 'crashes'}
-- Seconds for which text deltas are kept after the last of them, unless they are deleted before.
local DELTAS_TTL_S = 3600

local time = redis.call('TIME')
local NOW = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local NOW_TEXT = string.format('%.0f', NOW)

-- The job that was touched last: where a script fails, the one that may be damaged; see run.lua.
local current_job
local function job_key(id)
  current_job = id
  return PREFIX .. ':job:{' .. id .. '}'
end
local function timers_key() return PREFIX .. ':timers' end
local function queues_key(priority) return PREFIX .. ':queues:' .. priority end
local function queue_key(queue, priority) return PREFIX .. ':queue:' .. queue .. ':' .. priority end
local function jobs_key(queue, priority, tenant) return queue_key(queue, priority) .. ':' .. tenant end
local function virtual_times_key(priority) return PREFIX .. ':virtual_times:' .. priority end
local function since_key(priority) return PREFIX .. ':since:' .. priority end
local function wakeup_key(route) return PREFIX .. ':wakeup.' .. route end
local function worker_classes_key(worker) return PREFIX .. ':worker:' .. worker .. ':classes' end
local function worker_leases_key(worker) return PREFIX .. ':worker:' .. worker .. ':leases' end
local function tenant_key(tenant) return PREFIX .. ':tenant:' .. tenant end
local function limits_key() return PREFIX .. ':limits' end
local function weights_key() return PREFIX .. ':weights' end
local function usage_key(day) return string.format('%s:usage:%d', PREFIX, day) end
local function offered_key() return PREFIX .. ':ranges' end
local function paused_models_key() return PREFIX .. ':paused_models' end
local function deadlines_key() return PREFIX .. ':deadlines' end
-- Some fields of a job's hash, by name; false for what is not there.
local function read_fields(id, names)
  local row, job = redis.call('HMGET', job_key(id), unpack(names)), {}
  for i = 1, #names do job[names[i]] = row[i] end
  return job
end

-- What the end of a unit or job needs to know.
local JOB_FIELDS = {'state', 'sealed', 'units', 'units_done', 'total', 'succeeded', 'errored',
  'cancelled', 'expired', 'pending_bytes', 'tenant', 'training', 'ttl', 'idempotency', 'expires_at',
  'client', 'group', 'capped', 'continues', 'kind', 'template', 'digest', 'input_digest', 'created',
  'started', 'kept_bytes', 'queue', 'unread', 'plugin_versions', 'priority'}
local function read_job(id)
  local row = redis.call('HMGET', job_key(id), unpack(JOB_FIELDS))
  -- Written out: a table that is filled field by field is copied five times while it grows.
  return {state = row[1], sealed = row[2], units = row[3], units_done = row[4], total = row[5],
    succeeded = row[6], errored = row[7], cancelled = row[8], expired = row[9], pending_bytes = row[10],
    tenant = row[11], training = row[12], ttl = row[13], idempotency = row[14], expires_at = row[15],
    client = row[16], group = row[17], capped = row[18], continues = row[19], kind = row[20],
    template = row[21], digest = row[22], input_digest = row[23], created = row[24], started = row[25],
    kept_bytes = row[26], queue = row[27], unread = row[28], plugin_versions = row[29],
    priority = row[30]}
end

-- Message of an error: text before Redis 7, a table since.
local function text_of(failure)
  return type(failure) == 'table' and tostring(failure.err) or tostring(failure)
end

local function warnings_key() return PREFIX .. ':warnings' end

-- The route of a queue, by which its workers are woken: what stands in front of model and version.
local function route_of(queue) return string.match(queue, '^[^:@]*') end

-- True of a job that another engine runs, by whoever has handed it in: it stands in no queue, and of its units
-- nobody here claims any.
local function runs_elsewhere(queue) return queue == '' end

-- A part of a split unit is called UNIT:FIRST:END; its unit is what stands in front.
local function unit_of(name) return string.match(name, '^[^:]+') end

-- Name of a row of a unit's results: UNIT, UNIT+1, UNIT+2 and so on; `row` counts from 0.
local function row_name(unit, row) return row == 0 and unit or unit .. '+' .. row end
