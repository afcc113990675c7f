-- Release all units that a worker holds: it drains, or its supervisor saw it die.
--
-- ARGV: prefix, worker, 1 when its end counts as a crash of what it worked on, milliseconds of the
--       first back-off, how it died or '' (see shared/leases.lua), the same in words as JSON or ''.
-- Keys: worker leases, job hash, leases, timers, todo, crashes, faults, events, those of the queue.
-- Returns: the routes that need a wakeup.
-- Guarantee: each unit is claimable at once, or after its back-off; a late commit of the worker still
-- counts only if no other came first. Each job has one event of how the worker died. An ingest that
-- is kept for the worker between two slices is released, too, and that is nobody's crash. A member that
-- names no unit is dropped.
local worker = ARGV[2]
local death, message = ARGV[5], ARGV[6]
local to_notify, is_told = {}, {}
for _, member in ipairs(redis.call('SMEMBERS', worker_leases_key(worker))) do
  local id, unit = string.match(member, '^(%S+) (%S+)$')
  local _, holder
  if id then _, holder = lease_of(job_key(id), unit) end
  if holder == worker then
    drop_lease(id, unit)
    local route = requeue_unit(id, unit, ARGV[3] == '1', tonumber(ARGV[4]))
    if route and needs_wakeup(route) then to_notify[route] = true end
    if death ~= '' then note_death(id, unit, death, message, is_told) end
  elseif id and unit == 'ingest' and ingest_kept_for(id) == worker then
    redis.call('ZREM', timers_key(), member)
    local route = make_claimable(id, unit)
    if needs_wakeup(route) then to_notify[route] = true end
  end
end
redis.call('DEL', worker_leases_key(worker))
local routes = {}
for route in pairs(to_notify) do routes[#routes + 1] = route end
return routes
