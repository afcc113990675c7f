-- How jobs end, and what is warned of before.
--
-- Shared by all scripts. Nothing of an ended job is claimable, and all its keys have a time to live.

-- Warn of an end when a tenth of the time is left, and no more than an hour before it.
local LONGEST_NOTICE_MS = 3600000
local function warn_before(id, what, ends_at, span_ms)
  local notice = math.min(span_ms / 10, LONGEST_NOTICE_MS)
  write_shared('ZADD', warnings_key(), ends_at - notice, id .. ' ' .. what)
end

-- Tell a client which of its jobs have ended, in the stream that it waits on for all of them. A hint:
-- who has missed some looks at the jobs themselves, so what stands in its way fails nothing.
local ENDS_TTL_S, ENDS_KEPT = 3600, 1000
local function tell_of_ends(client, ids)
  local key = PREFIX .. ':client:' .. client .. ':ended'
  redis.pcall('XADD', key, 'MAXLEN', '~', ENDS_KEPT, '*', 'jobs', ids)
  redis.call('EXPIRE', key, ENDS_TTL_S)
end

-- Client -> jobs that this call has ended; nil where each end is told at once.
local ends_to_tell
local function tell_of_end(client, id)
  if not ends_to_tell then return tell_of_ends(client, id) end
  local told = ends_to_tell[client]
  ends_to_tell[client] = told and told .. ' ' .. id or id
end

-- From here on, writes to what jobs share wait for `finish_together`.
local function begin_together() waiting_writes, owed, ends_to_tell = {}, {}, {} end

local function finish_together()
  do_waiting_writes()
  charge_what_is_owed()
  for client, ids in pairs(ends_to_tell) do tell_of_ends(client, ids) end
  redis.call('XTRIM', PREFIX .. ':events', 'MAXLEN', '~', ALL_EVENTS_KEPT)
end

-- End a job for good: nothing of it is claimable any more and its keys get their time to live. `job`
-- is what was read of it, `fields` what else is to be written into its hash.
local function end_job(id, state, body, job, fields)
  local key = job_key(id)
  -- Before anything is added: a full Redis lets only such a script go on.
  if state == 'completed' then  -- and all texts stand in the results
    redis.call('DEL', key .. ':todo', key .. ':sizes', key .. ':digests', key .. ':pieces')
  else
    redis.call('DEL', key .. ':todo', key .. ':sizes', key .. ':digests')
  end
  for _, unit in ipairs(redis.call('HKEYS', key .. ':leases')) do drop_lease(id, unit, job) end
  sleep(id, job)
  redis.call('HSET', key, 'state', state, 'ended', NOW_TEXT, unpack(fields or {}))
  write_shared('ZREM', PREFIX .. ':jobs:open', id)
  if job.sealed ~= '1' then redis.call('ZREM', PREFIX .. ':uploads', id) end
  if job.expires_at then
    redis.call('ZREM', deadlines_key(), id)
    redis.call('ZREM', warnings_key(), id .. ' job')
  end
  emit(id, state, body, true)
  if job.client then tell_of_end(job.client, id) end
  local ttl = tonumber(job.ttl)
  charge(job.tenant, -1, 0, 0 - tonumber(job.pending_bytes))
  warn_before(id, 'results', NOW + ttl * 1000, ttl * 1000)
  local idempotency = job.idempotency
  if idempotency and redis.pcall('GET', idempotency) == id then
    redis.call('EXPIRE', idempotency, ttl)
  end
  redis.call('EXPIRE', key, ttl)
  if state ~= 'completed' then
    redis.call('EXPIRE', key .. ':pieces', math.min(ttl, PIECES_TTL_S))
  end
  for _, part in ipairs(USUAL_PARTS) do redis.call('EXPIRE', key .. ':' .. part, ttl) end
  local rare = {}
  for i, part in ipairs(RARE_PARTS) do rare[i] = key .. ':' .. part end
  if redis.call('EXISTS', unpack(rare)) == 0 then return end
  for _, name in ipairs(rare) do redis.call('EXPIRE', name, ttl) end
end

-- End a job before its work is done; `failure` is JSON, '' for none.
local function stop_job(id, state, failure)
  local key = job_key(id)
  redis.call('DEL', key .. ':todo')
  local n = counts(key)
  redis.call('HSET', key, state == 'expired' and 'expired' or 'cancelled', n[6])
  local job = read_job(id)
  charge(job.tenant, 0, 0 - n[6], 0)
  -- Units that wait out a back-off have a timer and no lease.
  for _, name in ipairs(redis.call('HKEYS', key .. ':attempts')) do
    redis.call('ZREM', timers_key(), id .. ' ' .. name)
  end
  local body = counts_json(key)
  if failure ~= '' then
    redis.call('HSET', key, 'failure', failure)
    body = body .. ',"failure":' .. failure
  end
  end_job(id, state, body, job)
end

-- End the job whose time has run out.
local function expire_job(id)
  local seconds = redis.call('HGET', job_key(id), 'expires_in')
  stop_job(id, 'expired', '{"code":"expired","retryable":true,"message":"The job was not done ' ..
    'within its expires_in_s of ' .. (seconds or '?') .. ' seconds. What had finished stays ' ..
    'readable. Retry what is undone with `seqd jobs retry`, or hand it in again with more time."}')
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

-- Complete a job that has nothing left to do; `job` is what was read of it, or made of it since.
local function complete_if_done(id, job, fields)
  if job.sealed ~= '1' or tonumber(job.units) ~= tonumber(job.units_done) then return false end
  local body = counts_as_json(counts_of(job))
  if job.training then body = body .. ',"training":' .. job.training end
  end_job(id, 'completed', body, job, fields)
  return true
end
