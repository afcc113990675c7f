-- Replace a unit that has killed its worker too often by two parts of it.
--
-- ARGV: prefix, job, unit, attempt, then for each of the two its name, blob and number of items.
-- Keys: job hash, in, sizes, parts, attempts, faults, leases, timers, todo, worker leases, those of the queue,
--       wakeup, tenant.
-- Returns: 1 when it was split, else 0.
-- Guarantee: only the attempt that holds the lease splits. The parts of a unit are claimed and
-- committed like units, each alone; their results become the unit's, in order, when the last one
-- is committed, so that readers never see a part. How the last worker died with it stands with the parts,
-- and their attempts go on from those of the unit, for they are of the same items.
local id, unit, attempt = ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = job_key(id)
if lease_of(key, unit) ~= attempt then return 0 end

local parent = unit_of(unit)
local parts = redis.call('HGET', key .. ':parts', parent) or unit
local names = {}
for name in string.gmatch(parts, '%S+') do
  if name == unit then
    names[#names + 1], names[#names + 2] = ARGV[5], ARGV[8]
  else
    names[#names + 1] = name
  end
end
redis.call('HSET', key .. ':parts', parent, table.concat(names, ' '))

drop_lease(id, unit)
local waiting = redis.call('HSTRLEN', key .. ':in', unit)
redis.call('HDEL', key .. ':in', unit)
local more = #ARGV[6] + #ARGV[9] - waiting
redis.call('HINCRBY', key, 'pending_bytes', more)
charge(redis.call('HGET', key, 'tenant'), 0, 0, more)
local death = death_of(key, unit)
redis.call('HINCRBY', key, 'carried', 2 * attempt)
for i = 5, 8, 3 do
  redis.call('HSET', key .. ':in', ARGV[i], ARGV[i + 1])
  redis.call('HSET', key .. ':sizes', ARGV[i], ARGV[i + 2])
  redis.call('HSET', key .. ':attempts', ARGV[i], attempt)
  if death ~= '' then redis.call('HSET', key .. ':faults', ARGV[i] .. ' death', death) end
  wake(make_claimable(id, ARGV[i]))
end
return 1
