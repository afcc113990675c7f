-- How jobs end, and what is warned of before.
--
-- Shared by all scripts. Nothing of an ended job is claimable, and all its keys have a time to live.

-- Warn of an end when a tenth of the time is left, and no more than an hour before it.
local LONGEST_NOTICE_MS = 3600000
local function warn_before(id, what, ends_at, span_ms)
  local notice = math.min(span_ms / 10, LONGEST_NOTICE_MS)
  redis.call('ZADD', warnings_key(), ends_at - notice, id .. ' ' .. what)
end

-- End a job for good: nothing of it is claimable any more and its keys get their time to live.
local function end_job(id, state, body)
  local key = job_key(id)
  -- Before anything is added: a full Redis lets only such a script go on.
  redis.call('DEL', key .. ':todo')
  for _, unit in ipairs(redis.call('HKEYS', key .. ':leases')) do drop_lease(id, unit) end
  sleep(id)
  redis.call('HSET', key, 'state', state, 'ended', NOW)
  redis.call('ZREM', PREFIX .. ':jobs:open', id)
  redis.call('ZREM', PREFIX .. ':uploads', id)
  redis.call('ZREM', deadlines_key(), id)
  redis.call('ZREM', warnings_key(), id .. ' job')
  emit(id, state, body, true)
  local job = redis.call('HMGET', key, 'ttl', 'idempotency', 'tenant', 'pending_bytes')
  local ttl = tonumber(job[1])
  charge(job[3], -1, 0, 0 - tonumber(job[4]))
  warn_before(id, 'results', NOW + ttl * 1000, ttl * 1000)
  if job[2] and redis.call('GET', job[2]) == id then redis.call('EXPIRE', job[2], ttl) end
  redis.call('EXPIRE', key, ttl)
  for _, part in ipairs(JOB_PARTS) do redis.call('EXPIRE', key .. ':' .. part, ttl) end
end

-- End a job before its work is done; `failure` is JSON, '' for none.
local function stop_job(id, state, failure)
  local key = job_key(id)
  redis.call('DEL', key .. ':todo')
  local n = counts(key)
  redis.call('HSET', key, state == 'expired' and 'expired' or 'cancelled', n[6])
  charge(redis.call('HGET', key, 'tenant'), 0, 0 - n[6], 0)
  -- Units that wait out a back-off have a timer and no lease.
  for _, name in ipairs(redis.call('HKEYS', key .. ':attempts')) do
    redis.call('ZREM', timers_key(), id .. ' ' .. name)
  end
  local body = counts_json(key)
  if failure ~= '' then
    redis.call('HSET', key, 'failure', failure)
    body = body .. ',"failure":' .. failure
  end
  end_job(id, state, body)
end

-- End the job whose time has run out.
local function expire_job(id)
  local seconds = redis.call('HGET', job_key(id), 'expires_in')
  stop_job(id, 'expired', '{"code":"expired","retryable":true,"message":"The job was not done ' ..
    'within its expires_in_s of ' .. seconds .. ' seconds. What had finished stays readable. Retry ' ..
    'what is undone with `seqd jobs retry --failed`, or hand it in again with more time."}')
end

-- End at most so many jobs whose time has run out.
local function expire_overdue(most)
  local due = redis.call('ZRANGEBYSCORE', deadlines_key(), '-inf', NOW, 'LIMIT', 0, most)
  for _, id in ipairs(due) do
    redis.call('ZREM', deadlines_key(), id)
    local state = redis.call('HGET', job_key(id), 'state')
    if state and is_open(state) then expire_job(id) end
  end
end

local function complete_if_done(id)
  local key = job_key(id)
  local job = redis.call('HMGET', key, 'sealed', 'units', 'units_done', 'training')
  if job[1] ~= '1' or job[2] ~= job[3] then return false end
  local body = counts_json(key)
  if job[4] then body = body .. ',"training":' .. job[4] end
  end_job(id, 'completed', body)
  return true
end
