-- Let a paused job go on.
--
-- ARGV: prefix, job.
-- Keys: job hash, todo, those of the queue, work_left, its recount, events.
-- Returns: {the job's state afterwards or 'unknown', the route that needs a wakeup or '', 1 when this
--          call resumed it}.
-- Guarantee: every unit that was claimable when the job was paused, or has become so since, is
-- claimable again. Sent twice it does nothing.
local id = ARGV[2]
local key = job_key(id)
local job = redis.call('HMGET', key, 'state', 'started')
if not job[1] then return {'unknown', '', 0} end
if job[1] ~= 'paused' then return {job[1], '', 0} end
local state = job[2] and 'running' or 'queued'
redis.call('HSET', key, 'state', state)
local left = counts(key)[6] + tonumber(redis.call('HGET', key, 'unread') or '0')
count_work_of(id, left)
local to_notify = ''
if redis.call('EXISTS', key .. ':todo') == 1 then
  local route = enqueue_job(id)
  if needs_wakeup(route) then to_notify = route end
end
emit(id, 'resumed', counts_json(key), true)
return {state, to_notify, 1}
