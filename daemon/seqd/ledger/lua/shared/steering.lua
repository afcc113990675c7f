-- What is done to a job from outside: pause it, let it go on, forget it.
--
-- Shared by the scripts that do it to one job, and by act_on_jobs.lua, which does it to many.

-- Let no further unit of a job be claimed; returns its state afterwards, or 'unknown'. `by` says who does, '' where
-- that is not known.
local function pause_job(id, by)
  local job = read_job(id)
  local state = job.state
  if not state then return 'unknown' end
  if not may_pause(state) or runs_elsewhere(job.queue) then return state end
  dequeue_job(id, job)
  count_work(job.queue, 0 - counts_of(job)[6] - tonumber(job.unread or '0'))
  redis.call('HSET', job_key(id), 'state', 'paused')
  local body = counts_json(job_key(id))
  emit(id, 'paused', by == '' and body or body .. ',"by":' .. cjson.encode(by), true, job.tenant)
  return 'paused'
end

-- Let a paused job go on; returns its state afterwards, or 'unknown'.
local function resume_job(id)
  local key = job_key(id)
  local job = redis.call('HMGET', key, 'state', 'started', 'tenant')
  if not job[1] then return 'unknown' end
  if not may_resume(job[1]) then return job[1] end
  local state = job[2] and 'running' or 'queued'
  redis.call('HSET', key, 'state', state)
  local left = counts(key)[6] + tonumber(redis.call('HGET', key, 'unread') or '0')
  count_work_of(id, left)
  if redis.call('EXISTS', key .. ':todo') == 1 then wake(enqueue_job(id)) end
  emit(id, 'resumed', counts_json(key), true, job[3])
  return state
end

-- Forget an ended job with all that it left; returns 'removed', or what steer.lua says of it.
local function remove_job(id)
  local job = read_ended(id)
  if not job.state then
    redis.call('ZREM', PREFIX .. ':jobs', id)
    return 'unknown'
  end
  if is_open(job.state) then return job.state end
  -- A retry takes its items out of this job, a training its checkpoints, and both are read as one.
  local other = open_continuation(job)
  if other then return 'continued ' .. other end
  remove_ended(id, job)
  return 'removed'
end
