-- Release units that a worker holds: it drains, or its supervisor saw it die.
--
-- ARGV: prefix, worker, 1 when its end counts as a crash of what it worked on, milliseconds of the
--       first back-off, most units to release, how it died or '', and the fields of the event that tells
--       it, or of one that has not died why it gives them back, or '' (see shared/leases.lua).
-- Keys: worker leases, job hash, leases, timers, todo, crashes, faults, events, those of the queue, wakeup.
-- Returns: 1 when there are more, else 0.
-- Guarantee: each unit is claimable at once, or after its back-off; a late commit of the worker still
-- counts only if no other came first. A call adds one event of what is told to each job. An
-- ingest that is kept for the worker between two slices is released, too, and that is nobody's crash.
local worker, most, death, told = ARGV[2], tonumber(ARGV[5]), ARGV[6], ARGV[7]
local is_crash = ARGV[3] == '1'
local key = worker_leases_key(worker)
local is_told = {}
for _, member in ipairs(redis.call('SRANDMEMBER', key, most)) do
  local id, unit = string.match(member, '^(%S+) (%S+)$')
  local _, holder = lease_of(job_key(id), unit)
  if holder == worker then
    drop_lease(id, unit)
    local route = requeue_unit(id, unit, is_crash, tonumber(ARGV[4]))
    if route then wake(route) end
    if told ~= '' then note_death(id, unit, is_crash and death or nil, told, is_told) end
  else
    redis.call('SREM', key, member)
    if unit == 'ingest' and ingest_kept_for(id) == worker then
      redis.call('ZREM', timers_key(), member)
      wake(make_claimable(id, unit))
    end
  end
end
return redis.call('EXISTS', key)
