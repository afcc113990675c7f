-- Accept jobs, each whole or not at all, and wake a worker for them.
--
-- ARGV: prefix, number of arguments that follow and are field and value
--       pairs of each job's hash, those, then for each job: job, digest of the request, idempotency key ('' for none), first
--       unit's blob ('' for none), its number of items, first unit's name ('' for none), sealed (0 or
--       1), the ended job that it continues ('' for none). Of a job that another engine runs the items are those
--       of all its units, and its fields say how many these are, and who holds its ingest.
-- Keys: paused models, wakeup, job hash, todo, in, sizes, digests, events, jobs, jobs:open, uploads, idempotency, those of the
--       queue, limits, those of the tenant, memory, tenant, work_left, deadlines, warnings, leases, attempts, timers,
--       worker leases; hash and in of the job that ended.
-- Returns: for each job {'created', job}; what `existing` says of one that exists;
--          {'refused', 'memory'}; {'refused', 'tenant_jobs' or _items or _bytes, waiting, allowed,
--          1 where the limit is the tenant's own}; {'refused', 'results_ttl_s', seconds, allowed, the same};
--          {'refused', 'kept_bytes', items, bytes that the result of each takes at least, allowed, the same};
--          {'refused', 'priority', those that the tenant may use, joined by spaces};
--          {'refused', 'continues', state of the ended job or '', the job that continues it or ''};
--          {'refused', 'disabled', the rule of the model as JSON};
--          {'refused', 'incomplete'} when the ended training's upload never was, or is gone.
-- Guarantee: jobs are independent of each other. One that is sent twice (a lost reply, a second
-- producer) is made once; the second caller gets the first one's identifier and digests, also when a
-- new job would be refused. An idempotency key lives as long as its job. At most one job continues
-- an ended one, which is kept until that has ended, and as long as that. A job that is sealed without a unit has nothing to wait for and is completed at once.
local ARGUMENTS = 8  -- of a job
local FIRST_FIELD = 3
local FIRST_JOB = FIRST_FIELD + ARGV[2]
local shared_fields = {}
for i = FIRST_FIELD, FIRST_JOB - 1, 2 do shared_fields[ARGV[i]] = ARGV[i + 1] end

-- What a second caller compares its request with: {'exists', job, digest of the request and of input
-- that came with it as a whole, running digest of input that came unit by unit or '', items of a unit,
-- 'complete' or 'ended' when no more input comes, 'open' when an upload adds to it, 'mine' when it is
-- the caller's own (a lost reply), else ''}.
local function existing(id)
  local job = redis.call('HMGET', job_key(id), 'digest', 'input_digest', 'unit_items', 'sealed',
    'state', 'owner', 'template')
  -- Of a small job that has completed, the template has it.
  local unit_items = job[3] or redis.call('HGET', template_key(job[7] or ''), 'unit_items')
  local input = ''
  if job[4] == '1' then input = 'complete'
  elseif not is_open(job[5]) then input = 'ended'
  elseif job[6] then input = job[6] == shared_fields['owner'] and 'mine' or 'open'
  end
  return {'exists', id, job[1] or '', job[2] or '', unit_items or '', input}
end

-- True when all chunks that a client uploaded for the training that ended are there.
local function can_inherit(continues)
  return redis.call('HGET', job_key(continues), 'sealed') == '1'
    and redis.call('EXISTS', job_key(continues) .. ':in') == 1
end

-- Hand those chunks on: to copy 64 MiB took 45 ms. They come back when the new job is removed. Returns
-- their bytes.
local function inherit_input(continues, key)
  redis.call('UNLINK', key .. ':in')
  redis.call('RENAME', job_key(continues) .. ':in', key .. ':in')
  redis.call('PERSIST', key .. ':in')
  return tonumber(redis.call('HGET', job_key(continues), 'pending_bytes'))
end

-- The refusal of a job that continues an ended one which does not allow that, or nil.
local function unfit_to_continue(continues, kind)
  local ended = redis.call('HMGET', job_key(continues), 'state', 'continued_by')
  local other = ended[2]
  if other and redis.call('EXISTS', job_key(other)) == 0 then other = false end
  local is_unfit = not ended[1] or is_open(ended[1]) or (is_one_training(kind) and ended[1] == 'completed')
  if is_unfit or other then return {'refused', 'continues', ended[1] or '', other or ''} end
  return nil
end

-- The rule of a disabled model, which takes no job; nil of any other. The jobs of a call have one model.
local rule
local function disabled_rule()
  if rule == nil then rule = redis.call('HGET', paused_models_key(), shared_fields['model']) end
  return rule and string.find(rule, '"disabled":true', 1, true) and rule or nil
end

-- A job's fields, with those that the ledger adds: of a name that comes twice, the last counts.
local function fields_of(id, idempotency)
  local fields = {unpack(ARGV, FIRST_FIELD, FIRST_JOB - 1)}
  local function add(name, value) fields[#fields + 1], fields[#fields + 2] = name, value end
  local most_units = limit('job_units')
  if shared_fields['max_units'] or most_units then
    local wanted = tonumber(shared_fields['max_units'] or most_units)
    add('max_units', math.min(wanted, most_units or math.huge))
  end
  if shared_fields['expires_in'] then
    local span_ms = tonumber(shared_fields['expires_in']) * 1000
    add('expires_at', string.format('%.0f', NOW + span_ms))
    redis.call('ZADD', deadlines_key(), NOW + span_ms, id)
    warn_before(id, 'job', NOW + span_ms, span_ms)
  end
  if idempotency ~= '' then
    redis.call('SET', idempotency, id)
    add('idempotency', idempotency)
  end
  return fields
end

-- Make the first unit claimable, and send the wakeup where none is on its way: once for all jobs.
local place = {queue = shared_fields['queue'], priority = shared_fields['priority'],
  group = shared_fields['group'], tenant = shared_fields['tenant'],
  unit_items = shared_fields['unit_items']}
local is_woken = false
local function add_first_unit(id, unit, blob, size, sealed)
  local key = job_key(id)
  if size > 0 and unit ~= TRAIN_UNIT and sealed == '0' then
    redis.call('HSET', key .. ':sizes', unit, size)
  end
  local digest = shared_fields['input_digest']
  if digest then redis.call('HSET', key .. ':digests', unit, digest) end
  if blob ~= '' then redis.call('HSET', key .. ':in', unit, blob) end
  redis.call('ZADD', key .. ':todo', rank_of(unit, 0), unit)
  add_job(id, place)
  if not is_woken then wake(route_of(place.queue)) end
  is_woken = true
end

-- Begin a job that another engine runs: whoever hands it in shows by the lease of its ingest that it lives.
local function begin_elsewhere(id)
  redis.call('HSET', job_key(id), 'state', 'running', 'started', NOW_TEXT)
  lease_ingest(id, shared_fields['holder'], tonumber(shared_fields['lease_ms']))
  emit(id, 'started', '"worker":' .. cjson.encode(shared_fields['holder']), true,
    shared_fields['tenant'])
end

local function submit(first)
  local id, digest, idempotency, blob = ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3]
  local size, unit = tonumber(ARGV[first + 4]), ARGV[first + 5]
  local sealed, continues = ARGV[first + 6], ARGV[first + 7]
  if idempotency ~= '' then
    local known = redis.call('GET', idempotency)
    if known and redis.call('EXISTS', job_key(known)) == 1 then
      return existing(known)
    end
  end
  local key = job_key(id)
  -- Of a job that is not there, the events are those of a request that was rejected.
  -- That is terminal: who reads the stream from its start would take it for the end of this job.
  local has_events = redis.call('EXISTS', key, key .. ':events') > 0
  if has_events and redis.call('EXISTS', key) == 1 then
    return existing(id)
  end

  local disabled = disabled_rule()
  if disabled then return {'refused', 'disabled', disabled} end
  local tenant = shared_fields['tenant']
  local ttl_s, most_s, is_own = tonumber(shared_fields['ttl']), limit_of(tenant, 'results_ttl_s')
  if most_s and ttl_s > most_s then return {'refused', 'results_ttl_s', ttl_s, most_s, is_own} end
  local priorities = own_limits_of(tenant).priorities
  if priorities and not string.find(' ' .. priorities .. ' ', ' ' .. place.priority .. ' ', 1, true) then
    return {'refused', 'priority', priorities}
  end
  local items = math.max(size, tonumber(shared_fields['expected'] or '0'))
  local much = over_kept(tenant, items, shared_fields['result_bytes'])
  if much then return {'refused', 'kept_bytes', unpack(much)} end
  if not entry_makes_room(blob) and not has_room() then return {'refused', 'memory'} end
  local over = over_quota(tenant, 1, size, #blob)
  if over then return {'refused', unpack(over)} end
  if continues ~= '' then
    local refusal = unfit_to_continue(continues, shared_fields['kind'])
    if refusal then return refusal end
    if shared_fields['inherits'] and not can_inherit(continues) then return {'refused', 'incomplete'} end
  end

  -- From here on nothing is refused. An entry of the inbox goes before anything is added.
  if not remove_taken_entry() then return {'answered', id} end
  local inherited = 0  -- bytes of input
  if continues ~= '' then
    if shared_fields['inherits'] then inherited = inherit_input(continues, key) end
    redis.call('HSET', job_key(continues), 'continued_by', id)
  end

  local has_items = unit ~= '' and unit ~= 'ingest'
  local elsewhere = runs_elsewhere(place.queue)
  local total, bytes = (has_items or elsewhere) and size or 0, has_items and #blob + inherited or 0
  local fields = fields_of(id, idempotency)
  redis.call('HSET', key, 'digest', digest, 'state', 'queued', 'created', NOW_TEXT, 'sealed', sealed,
    'units', has_items and 1 or 0, 'units_done', 0, 'total', total, 'succeeded', 0, 'errored', 0,
    'cancelled', 0, 'expired', 0, 'pending_bytes', bytes, unpack(fields))
  if continues ~= '' then
    redis.call('HSET', key, 'continues', continues)
    hold_continued(id)
  end
  if has_events then redis.call('UNLINK', key .. ':events') end
  write_shared('ZADD', PREFIX .. ':jobs', NOW_TEXT, id)
  write_shared('ZADD', PREFIX .. ':jobs:open', NOW_TEXT, id)
  if sealed == '0' and unit ~= 'ingest' then redis.call('ZADD', PREFIX .. ':uploads', NOW, id) end
  charge(tenant, 1, total, bytes, 0)
  -- Of a file nobody knows yet how much it holds: a unit, until a worker has opened it.
  local unread = unit == 'ingest' and not elsewhere and tonumber(shared_fields['unit_items']) or 0
  if unread > 0 then redis.call('HSET', key, 'unread', unread) end
  count_work(shared_fields['queue'], total + unread)
  if unit ~= '' and not elsewhere then add_first_unit(id, unit, blob, size, sealed) end
  emit(id, 'queued', counts_as_json({total, 0, 0, 0, 0, total}), true, tenant)
  if elsewhere then begin_elsewhere(id) end
  if unit == '' then complete_if_done(id, read_job(id)) end
  return {'created', id}
end

if #ARGV == FIRST_JOB + ARGUMENTS - 1 then return {submit(FIRST_JOB)} end
begin_batch()
local replies = {}
for at = FIRST_JOB, #ARGV, ARGUMENTS do replies[#replies + 1] = submit(at) end
finish_batch()
return replies
