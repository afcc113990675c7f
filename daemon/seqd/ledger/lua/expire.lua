-- Make units claimable again whose lease or back-off has run out.
--
-- ARGV: prefix, most units to look at, milliseconds of the first back-off.
-- Keys: timers, job hash, leases, todo, crashes, worker leases, route, group, turn.
-- Gives: {units made claimable, route, route, ...} with the routes that need a bell.
-- Guarantee: a unit whose worker went silent is not lost; the silence counts as a crash. A unit
-- that crashed before waits twice as long each time.
local most, backoff_ms = tonumber(ARGV[2]), tonumber(ARGV[3])
local bells, woken = {}, 0
local due = redis.call('ZRANGEBYSCORE', timers_key(), '-inf', NOW, 'LIMIT', 0, most)
for _, member in ipairs(due) do
  local id, unit = string.match(member, '^(%S+) (%S+)$')
  local key = job_key(id)
  local state = redis.call('HGET', key, 'state')
  local held = lease_of(key, unit)
  drop_lease(id, unit)
  local wait_ms = 0
  if held and state then
    local crashes = redis.call('HINCRBY', key .. ':crashes', unit, 1)
    if crashes > 1 then wait_ms = backoff_ms * 2 ^ (crashes - 2) end
  end
  if state and is_open(state) then
    if wait_ms > 0 then
      redis.call('ZADD', timers_key(), NOW + wait_ms, member)
    else
      local route = make_claimable(id, unit)
      if needs_bell(route) then bells[route] = true end
      woken = woken + 1
    end
  end
end
local reply = {woken}
for route in pairs(bells) do reply[#reply + 1] = route end
return reply
