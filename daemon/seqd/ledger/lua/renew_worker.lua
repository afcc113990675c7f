-- Renew all leases of a worker whose child stands still and cannot do so itself.
--
-- ARGV: prefix, worker, milliseconds of the lease, and the fields of the event that tells it, or ''.
-- Keys: worker leases, job hash, leases, timers, events.
-- Returns: 1.
-- Guarantee: nothing else of a unit changes, and a lease that was lost is never revived. Each job has one
-- event. Units beyond MOST_UNITS, which no claim hands out, are left out. Works when Redis is full.
local worker, lease_ms, told = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local MOST_UNITS = 256
local key, is_told = worker_leases_key(worker), {}
-- First, since a full Redis refuses a script that begins with a ZADD.
redis.call('EXPIRE', key, WORKER_LEASES_TTL_S)
for _, member in ipairs(redis.call('SRANDMEMBER', key, MOST_UNITS)) do
  local id, unit = string.match(member, '^(%S+) (%S+)$')
  local _, holder = lease_of(job_key(id), unit)
  if holder == worker then
    redis.call('ZADD', timers_key(), 'XX', NOW + lease_ms, member)
    if told ~= '' then note_death(id, unit, nil, told, is_told) end
  end
end
return 1
