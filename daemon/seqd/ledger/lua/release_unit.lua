-- Release one unit, to be claimed again now or after a wait.
--
-- ARGV: prefix, job, unit, attempt, milliseconds to wait, 1 when the attempt counts as a crash, and,
--       where a worker releases it since it is not fit for it, the worker.
-- Keys: job hash, leases, timers, todo, crashes, faults, worker leases, those of the queue, wakeup.
-- Returns: 1 when it was released, else 0.
-- Guarantee: only the attempt that holds the lease can release it.
local id, unit, attempt, wait_ms = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local key = job_key(id)
if lease_of(key, unit) ~= attempt then return 0 end
drop_lease(id, unit)
if ARGV[6] == '1' then redis.call('HINCRBY', key .. ':crashes', unit, 1) end
if ARGV[7] and ARGV[7] ~= '' then note_fault(key, unit, ARGV[7]) end
if wait_ms > 0 then
  redis.call('ZADD', timers_key(), NOW + wait_ms, id .. ' ' .. unit)
else
  wake(make_claimable(id, unit))
end
return 1
