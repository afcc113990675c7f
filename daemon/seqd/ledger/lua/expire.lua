-- Do what time has made due: claimable again are units whose lease or back-off has run out, ended
-- are jobs whose deadline has passed, and warnings are given.
--
-- ARGV: prefix, most units, jobs and warnings to look at, milliseconds of the first back-off.
-- Keys: timers, job hash, leases, todo, crashes, worker leases, route, group, turn, deadlines,
--       warnings, events, and those of end_job.lua.
-- Gives: {units made claimable, units looked at, route, route, ...} with the routes that need a bell.
-- Guarantee: a unit whose worker went silent is not lost; the silence counts as a crash. A unit
-- that crashed before waits twice as long each time. A warning is given once, of what still
-- stands. A timer or warning that names no unit or job is dropped.
local most, backoff_ms = tonumber(ARGV[2]), tonumber(ARGV[3])

local function warn(member)
  local id, what = string.match(member, '^(%S+) (%S+)$')
  if not id then return end
  local job = redis.call('HMGET', job_key(id), 'state', 'expires_at', 'ended', 'ttl')
  if not job[1] or is_open(job[1]) ~= (what == 'job') then return end
  local at = what == 'job' and tonumber(job[2]) or job[3] + job[4] * 1000
  emit(id, 'expiring', string.format('"what":"%s","expires_at_ms":%.0f', what, at), true)
end

-- Take a unit from who was silent; gives its route when it is claimable now.
local function let_go(id, unit)
  local key = job_key(id)
  local state = redis.call('HGET', key, 'state')
  local held = lease_of(key, unit)
  drop_lease(id, unit)
  return state and is_open(state) and come_back(id, unit, held ~= nil, backoff_ms)
end

local bells, woken = {}, 0
local due = redis.call('ZRANGEBYSCORE', timers_key(), '-inf', NOW, 'LIMIT', 0, most)
for _, member in ipairs(due) do
  local id, unit = string.match(member, '^(%S+) (%S+)$')
  local route = id and let_go(id, unit)
  if not id then redis.call('ZREM', timers_key(), member) end
  if route then
    woken = woken + 1
    if needs_bell(route) then bells[route] = true end
  end
end
expire_overdue(most)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', warnings_key(), '-inf', NOW, 'LIMIT', 0, most)) do
  redis.call('ZREM', warnings_key(), member)
  warn(member)
end
local reply = {woken, #due}
for route in pairs(bells) do reply[#reply + 1] = route end
return reply
