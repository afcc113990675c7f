-- Record the results of units; the last unit's commit ends its job.
--
-- ARGV: prefix, days for which a tenant's use is kept (0: it is not counted), version of the plugin that
--       computed the units ('' where none did), then for each unit: job, unit, attempt, succeeded, errored,
--       fenced (0 or 1), training result as JSON ('' for none), blob of the items that have errors ('' for
--       none), items that were computed, tokens, milliseconds of computing, records of its failed items as shared/failures.lua takes
--       them ('' for none), number of rows of results, the rows' blobs.
-- Keys: job hash, out, in, failed, sizes, parts, leases, todo, timers, worker leases, jobs:open,
--       uploads, idempotency, events, those of the queue, tenant, its use, client's completions, failures, and those of end_job.lua.
-- Returns: for each unit 'committed', 'completed' when it ended the job, 'duplicate' when the unit was
--          done or split already, 'ended' when the job had ended, 'fenced' when the attempt is not
--          current; 'error ' and what is wrong where it is not the only one, else that error.
-- Guarantee: units are independent of each other. Of one, results, counts, state and events change
-- together or not at all; the first commit of a unit wins. A fenced commit counts only from the
-- attempt that holds the lease. Results that are no larger than the input they replace are taken
-- even when Redis is full, so that work in hand makes room. A part's results wait until all parts of
-- its unit are there, and then become the unit's; a unit or part that has been split since is taken
-- from its parts alone. The items that have errors are kept, to be tried again. What a tenant has used
-- counts in the step that counts its results, so once, whoever computed them how often. A user that may
-- not count it commits nothing. A job names the plugin's versions that computed its units, the first
-- MAX_PLUGIN_VERSIONS of them.
local USAGE_DAYS, PLUGIN_VERSION, MAX_PLUGIN_VERSIONS = tonumber(ARGV[2]), ARGV[3], 8
local DAY_MS = 86400000
local function use_of_today_key() return usage_key(math.floor(NOW / DAY_MS)) end
-- It is denied here, before anything is changed, to whom it would be denied when results are recorded.
if USAGE_DAYS > 0 then redis.call('EXISTS', use_of_today_key()) end
local FIRST_UNIT = 4
local ARGUMENTS = 13  -- of a unit, without its rows

-- Add to what a tenant has used today (UTC): `field` is its name and items or trainings, then these, tokens and
-- milliseconds of computing. Tenants beyond the first of a day are counted together, as `*`, so that a day
-- has a bounded number of fields.
local MOST_USE_FIELDS = 40000  -- four of each tenant
local function add_use(field, count, tokens, busy_ms)
  local key, tenant, what = use_of_today_key(), string.match(field, '^(%S+) (%a+)$')
  -- Its first of the day: the counter says so, without another command for all others.
  if redis.call('HINCRBY', key, field, count) == count then
    redis.call('EXPIRE', key, (USAGE_DAYS + 1) * DAY_MS / 1000)
    if tenant ~= '*' and redis.call('HLEN', key) > MOST_USE_FIELDS then
      redis.call('HDEL', key, field)
      return add_use('* ' .. what, count, tokens, busy_ms)
    end
  end
  redis.call('HINCRBY', key, tenant .. ' tokens', tokens)
  redis.call('HINCRBY', key, tenant .. ' busy_ms', busy_ms)
end

-- Count what a unit took to its tenant.
local function note_use(job, count, tokens, busy_ms)
  if USAGE_DAYS == 0 then return end
  local what = makes_versions(job.kind) and ' trainings' or ' items'
  add_later(add_use, job.tenant .. what, count, tokens, busy_ms)
end

-- Note the plugin's version in `job`, and in the job's fields that are to be written, where it is new.
local function note_plugin_version(job, fields)
  local known = job.plugin_versions
  if known == PLUGIN_VERSION or PLUGIN_VERSION == '' then return end
  if known then
    if string.find('\n' .. known .. '\n', '\n' .. PLUGIN_VERSION .. '\n', 1, true) then return end
    local _, others = string.gsub(known, '\n', '')
    if others + 1 >= MAX_PLUGIN_VERSIONS then return end
  end
  job.plugin_versions = known and known .. '\n' .. PLUGIN_VERSION or PLUGIN_VERSION
  fields[#fields + 1], fields[#fields + 2] = 'plugin_versions', job.plugin_versions
end

-- Make the rows of a unit's parts its own, in order, when all are there. True if it did.
local function join_parts(key, parent)
  local out, names = key .. ':out', {}
  for name in string.gmatch(redis.call('HGET', key .. ':parts', parent), '%S+') do
    if redis.call('HEXISTS', out, name) == 0 then return false end
    names[#names + 1] = name
  end
  local rows = 0
  for _, name in ipairs(names) do
    local row = 0
    local blob = redis.call('HGET', out, name)
    while blob do
      redis.call('HDEL', out, row_name(name, row))
      redis.call('HSET', out, row_name(parent, rows), blob)
      row, rows = row + 1, rows + 1
      blob = redis.call('HGET', out, row_name(name, row))
    end
  end
  redis.call('HDEL', key .. ':parts', parent)
  return true
end

local function is_done_or_split(key, unit, job)
  if job.units_done == '0' and redis.call('EXISTS', key .. ':out', key .. ':parts') == 0 then
    return false
  end
  local whole = unit_of(unit)
  local parts = redis.call('HGET', key .. ':parts', whole)
  return (parts and not string.find(' ' .. parts .. ' ', ' ' .. unit .. ' ', 1, true))
    or redis.call('HEXISTS', key .. ':out', unit) == 1
    or (whole ~= unit and redis.call('HEXISTS', key .. ':out', whole) == 1)
end

-- Emit a progress event, at most four times a second.
local function emit_progress(id, job)
  local pace = read_fields(id, {'event_at', 'expected'})
  local since_ms = NOW - tonumber(pace.event_at or '0')
  if since_ms >= 0 and since_ms < PROGRESS_EVERY_MS then return end
  redis.call('HSET', job_key(id), 'event_at', NOW)
  local n = counts_of(job)
  local started = tonumber(job.started or NOW)
  -- A rate cannot be told of a job that was started later than now.
  local rate = NOW < started and 0 or (n[2] + n[3]) * 1000 / math.max(NOW - started, 1)
  local body = counts_as_json(n) .. string.format(',"rate_per_s":%.3f', rate)
  -- While the input grows, only what the client expects says how much is left.
  local is_whole = job.sealed == '1'
  if rate > 0 and (is_whole or pace.expected) then
    local total = is_whole and n[1] or math.max(n[1], tonumber(pace.expected))
    body = body .. string.format(',"eta_s":%.1f', (total - n[2] - n[3]) / rate)
  end
  emit(id, 'progress', body, false)
  trim_events(job_key(id))
end

-- The rows of results of the unit whose arguments begin at `at`, and their bytes.
local function rows_of(at)
  local rows, bytes = {}, 0
  for i = at + ARGUMENTS, at + ARGUMENTS + ARGV[at + ARGUMENTS - 1] - 1 do
    rows[#rows + 1] = ARGV[i]
    bytes = bytes + #ARGV[i]
  end
  return rows, bytes
end

-- Replace the input by the results, and count them in `job`; returns the job's fields to be written.
local function record(id, unit, job, at, succeeded, errored, failed)
  local key = job_key(id)
  local rows, bytes = rows_of(at)
  local waiting = redis.call('HSTRLEN', key .. ':in', unit)
  job.pending_bytes = job.pending_bytes - waiting
  job.succeeded, job.errored = job.succeeded + succeeded, job.errored + errored
  -- A full Redis lets a script go on that has freed something before it first adds something.
  local is_smaller = bytes + #failed <= waiting
  if is_smaller then redis.call('HDEL', key .. ':in', unit) end
  if #rows == 1 and makes_small(job, unit, rows[1]) then
    job.results = rows[1]
  else
    for row, blob in ipairs(rows) do redis.call('HSET', key .. ':out', row_name(unit, row - 1), blob) end
  end
  if failed ~= '' then redis.call('HSET', key .. ':failed', unit, failed) end
  if not is_smaller then redis.call('HDEL', key .. ':in', unit) end
  -- A unit under a lease is not in `todo`: its claim took it out.
  if not drop_lease(id, unit, job) then redis.call('ZREM', key .. ':todo', unit) end
  job.counted_bytes = tonumber(job.kept_bytes or '0')  -- those that stand on the tenant's account
  if not job.results then
    job.kept_bytes = job.counted_bytes + bytes + #failed
    charge(job.tenant, 0, 0 - succeeded - errored, 0 - waiting, bytes + #failed)
  else
    charge(job.tenant, 0, 0 - succeeded - errored, 0 - waiting)
  end
  if not is_held(job.state) then count_work(job.queue, 0 - succeeded - errored) end
  if unit_of(unit) == unit or join_parts(key, unit_of(unit)) then
    job.units_done = job.units_done + 1
  end
  return {'pending_bytes', job.pending_bytes, 'succeeded', job.succeeded, 'errored', job.errored,
    'units_done', job.units_done, 'kept_bytes', job.kept_bytes or 0}
end

local function commit(at)
  local id, unit, attempt = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local succeeded, errored, fenced = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local training, failed = ARGV[at + 6], ARGV[at + 7]
  local key, job = job_key(id), read_job(id)
  if is_small(job) or is_done_or_split(key, unit, job) then return 'duplicate' end
  if not (job.state and is_open(job.state)) then return 'ended' end
  if fenced == '1' and lease_of(key, unit) ~= attempt then return 'fenced' end
  -- Whoever cut the units of a job that runs elsewhere knows their sizes: no more than is left is taken.
  local size = size_of(key, unit, job)
    or runs_elsewhere(job.queue) and math.min(succeeded + errored, counts_of(job)[6]) or 'no'
  if tonumber(size) ~= succeeded + errored then
    return 'error seqd: ' .. succeeded + errored .. ' results for unit ' .. unit .. ', which has ' ..
      size .. ' items'
  end
  local fields = record(id, unit, job, at, succeeded, errored, failed)
  if ARGV[at + 11] ~= '' then add_failures(id, ARGV[at + 11]) end
  note_use(job, tonumber(ARGV[at + 8]), ARGV[at + 9], ARGV[at + 10])
  note_plugin_version(job, fields)
  if training ~= '' then
    fields[#fields + 1], fields[#fields + 2] = 'training', training
    job.training = training
    redis.call('UNLINK', key .. ':in')
  end
  if complete_if_done(id, job, fields) then return 'completed' end
  redis.call('HSET', key, unpack(fields))
  emit_progress(id, job)
  return 'committed'
end

-- Where the arguments of the unit behind the one at `at` begin.
local function behind(at) return at + ARGUMENTS + ARGV[at + ARGUMENTS - 1] end

if behind(FIRST_UNIT) > #ARGV then
  local outcome = commit(FIRST_UNIT)
  local wrong = string.match(outcome, '^error (.*)$')
  return wrong and redis.error_reply(wrong) or {outcome}
end
begin_batch()
local outcomes, at = {}, FIRST_UNIT
while at <= #ARGV do
  local ok, outcome = pcall(commit, at)
  outcomes[#outcomes + 1] = ok and outcome or 'error ' .. text_of(outcome)
  at = behind(at)
end
finish_batch()
return outcomes
