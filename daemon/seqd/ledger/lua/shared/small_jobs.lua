-- How a small job is kept after its end: in one key of about 400 bytes.
--
-- Shared by all scripts. A job is small that completed with one unit and few bytes of results. The
-- results move into its own hash, and its request, which many jobs share, stands once for all of
-- them, in a template. No value is longer than 64 bytes: a hash with a longer one takes Redis three
-- to five times the memory.

-- Bytes of compressed results up to which a job is small. Longer ones stay in `out`, where the
-- overhead of a key counts for little. And bytes of one field of them.
local SMALL_RESULTS_BYTES, FIELD_BYTES = 512, 64
-- Seconds for which the events and attempts of a small job are kept after its end, for whoever waits
-- for it or looks into it.
local SMALL_EVENTS_TTL_S = 30
-- A template outlives its last job.
local TEMPLATE_MARGIN_S = 60
-- Of the small jobs that have ended, `jobs` lists the newest: an entry there would be a quarter of
-- what the job takes. The others are found by their identifiers.
local SMALL_JOBS_LISTED = 10000

-- What a template has of its jobs; `template` of their hashes is the digest of these.
local TEMPLATE_FIELDS = {'kind', 'model', 'plugin', 'version', 'rollout', 'tenant', 'priority', 'unit_items', 'ttl',
  'spec', 'task_schema'}
-- What is kept of each small job. All else only an open one needs, or its readers know: see
-- `_SMALL` in seqd.ledger.jobs.
local SMALL_FIELDS = {'template', 'digest', 'input_digest', 'created', 'started', 'idempotency',
  'continues', 'plugin_versions'}

local function template_key(digest) return PREFIX .. ':template:' .. digest end

-- Count a job to its template, which is written with its first job and goes with the last one that is
-- removed. One whose jobs expire expires behind them.
local function count_joined(key, jobs) redis.call('HINCRBY', key, 'jobs', jobs) end
local joined = {}  -- the templates that this call has joined
local function join_template(id, job)
  local key = template_key(job.template)
  if joined[key] then return add_later(count_joined, key, 1) end
  joined[key] = true
  if redis.call('HINCRBY', key, 'jobs', 1) == 1 then
    local row, fields = read_fields(id, TEMPLATE_FIELDS), {}
    for name, value in pairs(row) do
      if value then fields[#fields + 1], fields[#fields + 2] = name, value end
    end
    redis.call('HSET', key, unpack(fields))
  end
  redis.call('EXPIRE', key, job.ttl + TEMPLATE_MARGIN_S)
end

local function leave_template(digest)
  local key = template_key(digest)
  if redis.call('EXISTS', key) == 1 and redis.call('HINCRBY', key, 'jobs', -1) <= 0 then
    redis.call('UNLINK', key)
  end
end

-- Names of the fields with the results, 64 bytes each: `results`, `results+1`, …
local RESULTS_FIELDS = {'results'}
for i = 1, SMALL_RESULTS_BYTES / FIELD_BYTES - 1 do RESULTS_FIELDS[i + 1] = 'results+' .. i end

-- The results of a small job that has ended.
local function results_of_small(key)
  local values = redis.call('HMGET', key, unpack(RESULTS_FIELDS))
  for i = 1, #values do values[i] = values[i] or '' end
  return table.concat(values)
end

-- True when the commit of a unit ends a small job. `job` holds the job's fields as they were before.
local function makes_small(job, unit, results)
  return unit == '0' and job.units == '1' and job.sealed == '1' and #results <= SMALL_RESULTS_BYTES
    and job.template and not makes_versions(job.kind) and not runs_elsewhere(job.queue)
end

local function is_small(job)
  return job.state == 'completed' and job.template and not job.group
end

-- Replace the hash of a job by that of a small one that has completed; its last event has the id
-- `event_id`, which is `ended`-`number`.
local function shrink_job(id, job, event_id, ended, number)
  local key, fields = job_key(id), {'state', 'completed', 'sealed', 1, 'ended', ended}
  local n = #fields
  for _, name in ipairs(SMALL_FIELDS) do
    if job[name] then
      fields[n + 1], fields[n + 2] = name, job[name]
      n = n + 2
    end
  end
  if tonumber(job.total) ~= 1 then fields[n + 1], fields[n + 2], n = 'total', job.total, n + 2 end
  if job.succeeded ~= 1 then fields[n + 1], fields[n + 2], n = 'succeeded', job.succeeded, n + 2 end
  if job.errored ~= 0 then fields[n + 1], fields[n + 2], n = 'errored', job.errored, n + 2 end
  -- For who reads on from an event when the events are gone: which one was the last.
  if number ~= '0' then fields[n + 1], fields[n + 2], n = 'last_event', event_id, n + 2 end
  local results = job.results
  for i = 1, math.ceil(#results / FIELD_BYTES) do
    fields[n + 1] = RESULTS_FIELDS[i]
    fields[n + 2] = string.sub(results, (i - 1) * FIELD_BYTES + 1, i * FIELD_BYTES)
    n = n + 2
  end
  join_template(id, job)
  -- A hash that was large stays so, whatever is taken out of it: it is made anew.
  redis.call('UNLINK', key)
  redis.call('HSET', key, unpack(fields))
end

-- Make a small job one like any other again, before another one continues it and holds it: what this
-- writes has no time to live.
local EXPANDED = {queue = '', group = '', units = 1, units_done = 1, total = 1, succeeded = 1, errored = 0,
  cancelled = 0, expired = 0, pending_bytes = 0}
local function expand_job(id)
  local key = job_key(id)
  local small, results = read_fields(id, {'template'}), results_of_small(key)
  local row = redis.call('HMGET', template_key(small.template), unpack(TEMPLATE_FIELDS))
  for i, name in ipairs(TEMPLATE_FIELDS) do
    if row[i] then redis.call('HSETNX', key, name, row[i]) end
  end
  for name, value in pairs(EXPANDED) do redis.call('HSETNX', key, name, value) end
  redis.call('HDEL', key, 'template', 'last_event', unpack(RESULTS_FIELDS))
  leave_template(small.template)
  redis.call('HSET', key .. ':out', '0', results)
  if redis.call('EXISTS', key .. ':events') == 0 then emit(id, 'completed', counts_json(key), false) end
end

-- Take small jobs beyond the newest, by `key`, off the list of jobs.
local function trim_listed(key)
  local more = math.min(redis.call('LLEN', key) - SMALL_JOBS_LISTED, 500)
  if more > 0 then redis.call('ZREM', PREFIX .. ':jobs', unpack(redis.call('LPOP', key, more))) end
end
