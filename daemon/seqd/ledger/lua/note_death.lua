-- Note how a worker dies whose child stands still, for the units that it holds: their leases may run
-- out before the child is ended.
--
-- ARGV: prefix, worker, how it dies and the fields of the event that tells it (see shared/leases.lua).
-- Keys: worker leases, job hash, leases, faults, events.
-- Returns: 1.
-- Guarantee: nothing else of a unit changes. Each job has one event. Units beyond MOST_UNITS, which no
-- claim hands out, are left out.
local worker, death, told = ARGV[2], ARGV[3], ARGV[4]
local MOST_UNITS = 256
local is_told = {}
for _, member in ipairs(redis.call('SRANDMEMBER', worker_leases_key(worker), MOST_UNITS)) do
  local id, unit = string.match(member, '^(%S+) (%S+)$')
  local _, holder
  if id then _, holder = lease_of(job_key(id), unit) end
  if holder == worker then note_death(id, unit, death, told, is_told) end
end
return 1
