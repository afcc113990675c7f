-- Record the results of units; the last unit's commit ends its job.
--
-- ARGV: prefix, then for each unit: job, unit, attempt, blob of results, succeeded, errored, fenced
--       (0 or 1), training result as JSON ('' for none), blob of the items that have errors ('' for
--       none).
-- Keys: job hash, out, in, failed, sizes, parts, leases, todo, timers, worker leases, jobs:open,
--       uploads, idempotency, events, those of the queue, tenant, client's completions, and those of end_job.lua.
-- Returns: for each unit 'committed', 'completed' when it ended the job, 'duplicate' when the unit was
--          done or split already, 'ended' when the job had ended, 'fenced' when the attempt is not
--          current; 'error ' and what is wrong where it is not the only one, else that error.
-- Guarantee: units are independent of each other. Of one, results, counts, state and events change
-- together or not at all; the first commit of a unit wins. A fenced commit counts only from the
-- attempt that holds the lease. Results that are no larger than the input they replace are taken
-- even when Redis is full, so that work in hand makes room. A part's results wait until all parts of
-- its unit are there, and then become the unit's; a unit or part that has been split since is taken
-- from its parts alone. The items that have errors are kept, to be tried again.
local ARGUMENTS = 9

-- Join the results of a unit's parts when all are there: concatenated zlib streams. True if it did.
local function join_parts(key, parent)
  local names, blobs = {}, {}
  for name in string.gmatch(redis.call('HGET', key .. ':parts', parent), '%S+') do
    names[#names + 1] = name
    blobs[#blobs + 1] = redis.call('HGET', key .. ':out', name) or nil
  end
  if #blobs < #names then return false end
  redis.call('HSET', key .. ':out', parent, table.concat(blobs))
  -- One by one: a unit may have more parts than `unpack` can put on the stack.
  for _, name in ipairs(names) do redis.call('HDEL', key .. ':out', name) end
  redis.call('HDEL', key .. ':parts', parent)
  return true
end

local function is_done_or_split(key, unit)
  if redis.call('EXISTS', key .. ':out', key .. ':parts') == 0 then return false end
  local parts = redis.call('HGET', key .. ':parts', unit_of(unit))
  return (parts and not string.find(' ' .. parts .. ' ', ' ' .. unit .. ' ', 1, true))
    or redis.call('HEXISTS', key .. ':out', unit) == 1
    or redis.call('HEXISTS', key .. ':out', unit_of(unit)) == 1
end

-- Emit a progress event, at most four times a second.
local function emit_progress(id, job)
  local pace = read_fields(id, {'event_at', 'started', 'expected'})
  if NOW - tonumber(pace.event_at or '0') < PROGRESS_EVERY_MS then return end
  redis.call('HSET', job_key(id), 'event_at', NOW)
  local n = counts_of(job)
  local seconds = math.max(NOW - tonumber(pace.started or NOW), 1) / 1000
  local rate = (n[2] + n[3]) / seconds
  local body = counts_as_json(n) .. string.format(',"rate_per_s":%.3f', rate)
  -- While the input grows, only what the client expects says how much is left.
  local is_whole = job.sealed == '1'
  if rate > 0 and (is_whole or pace.expected) then
    local total = is_whole and n[1] or math.max(n[1], tonumber(pace.expected))
    body = body .. string.format(',"eta_s":%.1f', (total - n[2] - n[3]) / rate)
  end
  emit(id, 'progress', body, false)
end

-- Replace the input by the results, and count them in `job`; returns the job's fields to be written.
local function record(id, unit, job, blob, succeeded, errored, failed)
  local key = job_key(id)
  local waiting = redis.call('HSTRLEN', key .. ':in', unit)
  job.pending_bytes = job.pending_bytes - waiting
  job.succeeded, job.errored = job.succeeded + succeeded, job.errored + errored
  -- A full Redis lets a script go on that has freed something before it first adds something.
  local is_smaller = #blob + #failed <= waiting
  if is_smaller then redis.call('HDEL', key .. ':in', unit) end
  redis.call('HSET', key .. ':out', unit, blob)
  if failed ~= '' then redis.call('HSET', key .. ':failed', unit, failed) end
  if not is_smaller then redis.call('HDEL', key .. ':in', unit) end
  -- A unit under a lease is not in `todo`: its claim took it out.
  if not drop_lease(id, unit, job) then redis.call('ZREM', key .. ':todo', unit) end
  charge(job.tenant, 0, 0 - succeeded - errored, 0 - waiting)
  if unit_of(unit) == unit or join_parts(key, unit_of(unit)) then
    job.units_done = job.units_done + 1
  end
  return {'pending_bytes', job.pending_bytes, 'succeeded', job.succeeded, 'errored', job.errored,
    'units_done', job.units_done}
end

-- Fields of a job that are added to or compared.
local NUMBERS = {'units', 'units_done', 'total', 'succeeded', 'errored', 'cancelled', 'expired',
  'pending_bytes', 'ttl'}
local function can_be_counted(job)
  for _, name in ipairs(NUMBERS) do
    if not tonumber(job[name]) then return false end
  end
  return true
end

local function commit(at)
  local id, unit, attempt, blob = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  local succeeded, errored, fenced = ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local training, failed = ARGV[at + 7], ARGV[at + 8]
  local key, job = job_key(id), read_job(id)
  if is_done_or_split(key, unit) then return 'duplicate' end
  if not job.state or not is_open(job.state) then return 'ended' end
  -- A damaged job fails here, before anything is changed or charged.
  if not (job.group and job.tenant and can_be_counted(job)) then
    error('a field is missing, or no number', 0)
  end
  if fenced == '1' and lease_of(key, unit) ~= attempt then return 'fenced' end
  local size = size_of(key, unit, job) or 'no'
  if tonumber(size) ~= succeeded + errored then
    return 'error seqd: ' .. succeeded + errored .. ' results for unit ' .. unit .. ', which has ' ..
      size .. ' items'
  end
  local fields = record(id, unit, job, blob, succeeded, errored, failed)
  if training ~= '' then
    fields[#fields + 1], fields[#fields + 2] = 'training', training
    job.training = training
    redis.call('DEL', key .. ':in')
  end
  if complete_if_done(id, job, fields) then return 'completed' end
  redis.call('HSET', key, unpack(fields))
  emit_progress(id, job)
  return 'committed'
end

if #ARGV == 1 + ARGUMENTS then
  local outcome = commit(2)
  local wrong = string.match(outcome, '^error (.*)$')
  return wrong and redis.error_reply(wrong) or {outcome}
end
begin_batch()
local outcomes = {}
for at = 2, #ARGV, ARGUMENTS do
  local ok, outcome = pcall(commit, at)
  outcomes[#outcomes + 1] = ok and outcome or 'error ' .. text_of(outcome)
end
finish_batch()
return outcomes
