-- Jobs that another one continues, and how long they are kept for it.
--
-- Shared by all scripts. A retry takes its items out of the job that it continues, a training its
-- checkpoints, and both are read as one: what was continued is held while the later job is open, and
-- kept as long as that one after its end. A held job has no time to live and the field `held_by`.

-- Jobs of a chain that are held: far more than anybody retries, and few enough for one call.
local MOST_CONTINUED = 64

-- Jobs that one call lets go at most. expire.lua lets the others go: their warning is due at once.
local LET_GO_AT_ONCE = 100
local releasable = LET_GO_AT_ONCE

-- Call `each` with the jobs that a job continues, the last one first, until it returns false.
local function each_continued(id, each)
  local later = id
  for _ = 1, MOST_CONTINUED do
    local earlier = redis.call('HGET', job_key(later), 'continues')
    if not earlier or redis.call('HGET', job_key(earlier), 'continued_by') ~= later then break end
    if each(earlier) == false then break end
    later = earlier
  end
end

-- Call a command with each key of an ended job that has a time to live, and with its idempotency key.
local function with_kept_keys(id, command, ...)
  local key = job_key(id)
  redis.call(command, key, ...)
  for _, parts in ipairs({USUAL_PARTS, RARE_PARTS}) do
    for _, part in ipairs(parts) do redis.call(command, key .. ':' .. part, ...) end
  end
  local idempotency = redis.call('HGET', key, 'idempotency')
  if idempotency and redis.call('GET', idempotency) == id then
    redis.call(command, idempotency, ...)
  end
end

-- Keep an ended job that was held, for `ttl` seconds from now at least.
local function let_go(id, ttl)
  local key = job_key(id)
  redis.call('HDEL', key, 'held_by')
  local job = redis.call('HMGET', key, 'ended', 'ttl')
  local kept = read_ended(id)
  local kept_s = math.max(tonumber(job[2]), math.ceil((NOW - job[1]) / 1000) + ttl)
  local kept_until = job[1] + kept_s * 1000
  redis.call('HSET', key, 'ttl', kept_s)
  with_kept_keys(id, 'PEXPIREAT', string.format('%.0f', kept_until))
  warn_before(id, 'results', kept_until, job[2] * 1000)
  local bytes = tonumber(kept.kept_bytes or '0')
  keep_job(id, kept.tenant, bytes, bytes, tonumber(job[1]), kept_s)
end

-- Hold what an open job continues.
local function hold_continued(id)
  each_continued(id, function(earlier)
    local job = read_ended(earlier)
    if not job.held_by then take_out_of_bucket(job) end
    if is_small(job) then
      expand_job(earlier)
      redis.call('HSET', job_key(earlier), 'kept_bytes', job.kept_bytes)
    end
    redis.call('HSET', job_key(earlier), 'held_by', id)
    with_kept_keys(earlier, 'PERSIST')
    -- Somebody has to look after it, should the later job be gone one day without having ended.
    local span_ms = redis.call('HGET', job_key(earlier), 'ttl') * 1000
    warn_before(earlier, 'results', NOW + span_ms, span_ms)
  end)
end

-- Let those jobs go that a job continues and `holder` holds, which has ended.
local function let_go_continued(id, holder, ttl)
  each_continued(id, function(earlier)
    if redis.call('HGET', job_key(earlier), 'held_by') ~= holder then return true end
    if releasable <= 0 then
      redis.call('ZADD', warnings_key(), NOW, earlier .. ' results')
      return false
    end
    releasable = releasable - 1
    let_go(earlier, ttl)
  end)
end

-- Let a job go whose later job is gone or has ended; false for one that is held with reason.
local function let_go_if_forgotten(id)
  local job = read_fields(id, {'held_by', 'ttl'})
  local state = redis.call('HGET', job_key(job.held_by), 'state')
  if state and is_open(state) then
    warn_before(id, 'results', NOW + job.ttl * 1000, job.ttl * 1000)
    return false
  end
  local ttl = tonumber(state and read_ended(job.held_by).ttl or job.ttl)
  releasable = releasable - 1
  let_go(id, ttl)
  let_go_continued(id, job.held_by, ttl)
  return true
end
