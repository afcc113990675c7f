-- Let a paused job go on.
--
-- ARGV: prefix, job.
-- Keys: job hash, todo, route, group, turn, events.
-- Gives: {the job's state afterwards or 'unknown', the route that needs a bell or '', 1 when this
--        call resumed it}.
-- Guarantee: every unit that was claimable when the job was paused, or has become so since, is
-- claimable again. Sent twice it does nothing.
local id = ARGV[2]
local key = job_key(id)
local job = redis.call('HMGET', key, 'state', 'started')
if not job[1] then return {'unknown', '', 0} end
if job[1] ~= 'paused' then return {job[1], '', 0} end
local state = job[2] and 'running' or 'queued'
redis.call('HSET', key, 'state', state)
local bell = ''
if redis.call('EXISTS', key .. ':todo') == 1 then
  local route = wake(id)
  if needs_bell(route) then bell = route end
end
emit(id, 'resumed', counts_json(key), true)
return {state, bell, 1}
