-- How jobs end.
--
-- Shared by all scripts. Nothing of an ended job is claimable, and all its keys have a time to live.

-- Append jobs that have ended to a client's completion stream. A hint: a client that missed some
-- reads the jobs themselves, so a stream that cannot be written fails nothing.
local COMPLETIONS_TTL_S, COMPLETIONS_KEPT = 3600, 1000
local function completions_key(client) return PREFIX .. ':client:' .. client .. ':completions' end
local function add_completions(client, ...)
  local key = completions_key(client)
  redis.pcall('XADD', key, 'MAXLEN', '~', COMPLETIONS_KEPT, '*', 'jobs', table.concat({...}, ' '))
  redis.call('EXPIRE', key, COMPLETIONS_TTL_S)
end

-- From here on, changes of shared keys wait for `finish_batch`.
local function begin_batch() deferred = {} end

-- An account is charged before jobs are removed since it keeps too much, and their templates are joined before
-- that leaves them. What only a script of its own lets wait comes last: its error takes nothing else along.
local function finish_batch()
  local calls = deferred
  deferred = nil
  local function do_all(apply)
    local rows = calls[apply] or {}
    for _, name in ipairs(rows) do apply(name, unpack(rows[name])) end
    calls[apply] = nil
  end
  for _, apply in ipairs({write, trim_listed, count_joined, charge_now, count_work_now, add_to_bucket,
    enforce_kept, add_completions}) do
    do_all(apply)
  end
  redis.call('XTRIM', PREFIX .. ':events', 'MAXLEN', '~', ALL_EVENTS_KEPT)
  for apply in pairs(calls) do do_all(apply) end
end

-- Give the keys of an ended job their time to live.
local function expire_keys(key, state, ttl)
  redis.call('EXPIRE', key, ttl)
  if state ~= 'completed' then
    redis.call('EXPIRE', key .. ':deltas', math.min(ttl, DELTAS_TTL_S))
  end
  for _, part in ipairs(USUAL_PARTS) do redis.call('EXPIRE', key .. ':' .. part, ttl) end
  local rare = {}
  for i, part in ipairs(RARE_PARTS) do rare[i] = key .. ':' .. part end
  if redis.call('EXISTS', unpack(rare)) == 0 then return end
  for _, name in ipairs(rare) do redis.call('EXPIRE', name, ttl) end
end

-- Keep a small job that has completed.
local function keep_small(id, job, event_id)
  local key = job_key(id)
  local ended, number = string.match(event_id, '^(%d+)-(%d+)$')
  shrink_job(id, job, event_id, ended, number)
  write_shared('RPUSH', PREFIX .. ':jobs:small', id)
  add_later(trim_listed, PREFIX .. ':jobs:small')
  redis.call('EXPIRE', key, job.ttl)
  redis.call('EXPIRE', key .. ':events', math.min(job.ttl, SMALL_EVENTS_TTL_S))
  redis.call('EXPIRE', key .. ':attempts', math.min(job.ttl, SMALL_EVENTS_TTL_S))
  if job.errored > 0 then redis.call('EXPIRE', key .. ':failed', job.ttl) end
  local bytes = bytes_of_small(key, job.results, job.errored > 0)
  keep_job(id, job.tenant, bytes, job.counted_bytes, tonumber(ended), tonumber(job.ttl))
end

-- End a job: nothing of it is claimable any more and its keys get their time to live. `job` holds the
-- fields that were read of it, and the `results` of one that is small; `fields` are those to be written
-- into the hash of any other with the state.
local function end_job(id, state, body, job, fields)
  local key = job_key(id)
  -- Before anything is added: a full Redis lets only such a script go on.
  if state == 'completed' then  -- and all texts stand in the results
    redis.call('UNLINK', key .. ':todo', key .. ':sizes', key .. ':digests', key .. ':faults',
      key .. ':crashes', key .. ':deltas')
  else
    redis.call('UNLINK', key .. ':todo', key .. ':sizes', key .. ':digests', key .. ':faults')
  end
  drop_leases(id)
  if job.capped then redis.call('HDEL', key, 'capped') end
  dequeue_job(id, job)
  write_shared('ZREM', PREFIX .. ':jobs:open', id)
  if job.sealed ~= '1' then
    forget_ranges(id)
    redis.call('ZREM', PREFIX .. ':uploads', id)
    redis.call('HDEL', key, 'owner')
  end
  if job.expires_at then
    redis.call('ZREM', deadlines_key(), id)
    redis.call('ZREM', warnings_key(), id .. ' job')
  end
  local event_id = emit(id, state, body, true, job.tenant)
  if job.client then append_later(add_completions, job.client, id) end
  local ttl = tonumber(job.ttl)
  charge(job.tenant, -1, 0, 0 - tonumber(job.pending_bytes), 0)
  if job.continues then let_go_continued(id, id, ttl) end
  local idempotency = job.idempotency
  if idempotency and redis.call('GET', idempotency) == id then
    redis.call('EXPIRE', idempotency, ttl)
  end
  if job.results then return keep_small(id, job, event_id) end
  local bytes = bytes_of_large(key, state, job)
  redis.call('HSET', key, 'state', state, 'ended', NOW_TEXT, unpack(fields or {}))
  redis.call('HSET', key, 'kept_bytes', bytes)
  keep_job(id, job.tenant, bytes, tonumber(job.kept_bytes or '0'), NOW, ttl)
  warn_before(id, 'results', NOW + ttl * 1000, ttl * 1000)
  expire_keys(key, state, ttl)
end

-- Drop the timers of units that wait out a back-off: they have no lease. Where there may be many,
-- each is dropped when it is due.
local MOST_TIMERS = 500
local function drop_timers(id)
  local key, members = job_key(id) .. ':attempts', {}
  if redis.call('HLEN', key) > MOST_TIMERS then return end
  for i, unit in ipairs(redis.call('HKEYS', key)) do members[i] = id .. ' ' .. unit end
  remove_members('ZREM', timers_key(), members)
end

-- End a job before its work is done; `failure` is JSON, '' for none.
local function stop_job(id, state, failure)
  local key = job_key(id)
  redis.call('UNLINK', key .. ':todo')
  local n = counts(key)
  redis.call('HSET', key, state == 'expired' and 'expired' or 'cancelled', n[6])
  local job = read_job(id)
  charge(job.tenant, 0, 0 - n[6], 0)
  local unread = tonumber(job.unread or '0')
  if not is_held(job.state) then count_work(job.queue, 0 - n[6] - unread) end
  if unread > 0 then redis.call('HDEL', key, 'unread') end
  drop_timers(id)
  local body = counts_json(key)
  if failure ~= '' then
    redis.call('HSET', key, 'failure', failure)
    body = body .. ',"failure":' .. failure
  end
  end_job(id, state, body, job)
end

-- Jobs whose time has run out that one call ends at most: about 5 ms. The others are as they were,
-- and nothing of them is handed out; expire.lua ends all of them, call by call.
local EXPIRED_AT_ONCE = 16
local expired_jobs = 0

-- End the job whose time has run out; false where this call has ended as many as it may.
local function expire_job(id)
  if expired_jobs == EXPIRED_AT_ONCE then return false end
  expired_jobs = expired_jobs + 1
  local seconds = redis.call('HGET', job_key(id), 'expires_in')
  stop_job(id, 'expired', '{"code":"expired","retryable":true,"message":"The job was not done ' ..
    'within its expires_in_s of ' .. (seconds or '?') .. ' seconds. What had finished stays ' ..
    'readable."}')
  return true
end

-- End jobs whose time has run out; true when there may be more of them.
local function expire_overdue()
  local due = redis.call('ZRANGEBYSCORE', deadlines_key(), '-inf', NOW, 'LIMIT', 0, EXPIRED_AT_ONCE)
  for _, id in ipairs(due) do
    redis.call('ZREM', deadlines_key(), id)
    local state = redis.call('HGET', job_key(id), 'state')
    if state and is_open(state) then expire_job(id) end
  end
  return #due == EXPIRED_AT_ONCE
end

-- The field `plugin_versions` of a job, a version a line, as JSON.
local function versions_as_json(versions)
  local encoded = {}
  for version in string.gmatch(versions, '[^\n]+') do encoded[#encoded + 1] = cjson.encode(version) end
  return '[' .. table.concat(encoded, ',') .. ']'
end

-- Complete a job that has no undone unit; `job` holds its fields as they are to be. True if it did.
local function complete_if_done(id, job, fields)
  if job.sealed ~= '1' or tonumber(job.units) ~= tonumber(job.units_done) then return false end
  local body = counts_as_json(counts_of(job))
  if job.plugin_versions then
    body = body .. ',"plugin_versions":' .. versions_as_json(job.plugin_versions)
  end
  if job.training then body = body .. ',"training":' .. job.training end
  end_job(id, 'completed', body, job, fields)
  return true
end
