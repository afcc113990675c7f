-- Forget an ended job with all that it left.
--
-- ARGV: prefix, job.
-- Keys: job hash and all its parts, jobs, warnings, idempotency; hashes of the job that continues it and
--       of the one that it continues.
-- Returns: 'removed', 'unknown' when there is no such job; else the job is left alone: 'continued ID'
--          when job ID continues it and has not ended, its own state when it has not ended itself.
-- Guarantee: nothing of the job is left, no other points to it, and its idempotency key may be used again.
local id = ARGV[2]
local key = job_key(id)
local job = redis.call('HMGET', key, 'state', 'idempotency', 'continued_by', 'continues')
if not job[1] then
  redis.call('ZREM', PREFIX .. ':jobs', id)
  return 'unknown'
end
if is_open(job[1]) then return job[1] end
-- A retry takes its items out of this job, a training its checkpoints, and both are read as one.
if job[3] then
  local state = redis.call('HGET', job_key(job[3]), 'state')
  if state and is_open(state) then return 'continued ' .. job[3] end
end
if job[2] and redis.pcall('GET', job[2]) == id then redis.call('DEL', job[2]) end
-- Who reads them as one is not to take it for one whose time to live has passed.
if job[3] and redis.call('HGET', job_key(job[3]), 'continues') == id then
  redis.call('HDEL', job_key(job[3]), 'continues')
end
if job[4] and redis.call('HGET', job_key(job[4]), 'continued_by') == id then
  redis.call('HDEL', job_key(job[4]), 'continued_by')
end
redis.call('UNLINK', key)
for _, part in ipairs(JOB_PARTS) do redis.call('UNLINK', key .. ':' .. part) end
redis.call('ZREM', PREFIX .. ':jobs', id)
redis.call('ZREM', warnings_key(), id .. ' results')
return 'removed'
