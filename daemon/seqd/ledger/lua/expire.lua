-- Apply what time has made due: make units claimable whose lease or back-off has run out, end jobs
-- whose deadline has passed, and emit warnings of expiry.
--
-- ARGV: prefix, most units and warnings to look at, milliseconds of the first back-off.
-- Keys: timers, job hash, leases, attempts, todo, crashes, worker leases, those of the queue, deadlines,
--       wakeup, warnings, events, jobs:open, work_left, and those of end_job.lua.
-- Returns: {units made claimable, 1 when more may be due}.
-- Guarantee: a unit whose worker went silent is not lost; the silence counts as a crash. A unit
-- that crashed before waits twice as long each time. A warning is emitted once, of a job
-- or results that are still there. A job that
-- is held for one that is gone gets its time to live again. A job that another engine runs fails with its lease:
-- nobody here can go on with it.
local most, backoff_ms = tonumber(ARGV[2]), tonumber(ARGV[3])

local function warn(member)
  local id, what = string.match(member, '^(%S+) (%S+)$')
  local job = redis.call('HMGET', job_key(id), 'state', 'expires_at', 'ended', 'ttl', 'held_by', 'tenant')
  if not job[1] or is_open(job[1]) ~= (what == 'job') then return end
  if what == 'results' and job[5] then return let_go_if_forgotten(id) end
  local at = what == 'job' and tonumber(job[2]) or job[3] + job[4] * 1000
  emit(id, 'expiring', string.format('"what":"%s","expires_at_ms":%.0f', what, at), true, job[6])
end

local function fail_left(id, holder)
  local undone, failure = counts(job_key(id))[6], cjson.encode({code = 'lease_lost', retryable = true, message =
    'The process ' .. holder .. ', which ran the job, has not been heard of for the time of a lease: it was killed, ' ..
    'or its host is cut off. What was done stays; the same command with --resume goes on.'})
  stop_job(id, 'failed', failure)
  add_failed_job(id, failure, undone)
end

-- Requeue a unit whose lease or back-off has run out; returns its route when it is claimable now.
local function release_due(id, unit)
  local key = job_key(id)
  local state, queue = unpack(redis.call('HMGET', key, 'state', 'queue'))
  local held, holder = lease_of(key, unit)
  drop_lease(id, unit)
  if not (state and is_open(state)) then return nil end
  if held and runs_elsewhere(queue) then return fail_left(id, holder) end
  -- A timer of an earlier job by that identifier, which had too many to drop them when it ended.
  if not held and redis.call('HEXISTS', key .. ':attempts', unit) == 0 then return nil end
  return requeue_unit(id, unit, held ~= nil, backoff_ms)
end

local requeued = 0
local due = redis.call('ZRANGEBYSCORE', timers_key(), '-inf', NOW, 'LIMIT', 0, most)
for _, member in ipairs(due) do
  local id, unit = string.match(member, '^(%S+) (%S+)$')
  local route = release_due(id, unit)
  if route then
    requeued = requeued + 1
    wake(route)
  end
end
local is_more = expire_overdue()
local warnings = redis.call('ZRANGEBYSCORE', warnings_key(), '-inf', NOW, 'LIMIT', 0, most)
for _, member in ipairs(warnings) do
  redis.call('ZREM', warnings_key(), member)
  warn(member)
end
is_more = is_more or #due == most or #warnings == most
-- What a damaged job could not take off the count goes when no job is open.
if redis.call('EXISTS', PREFIX .. ':jobs:open') == 0 then redis.call('UNLINK', work_left_key()) end
return {requeued, is_more and 1 or 0}
