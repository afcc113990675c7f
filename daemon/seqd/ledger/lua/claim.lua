-- Hand claimable units to a worker, each under a lease with a fencing token.
--
-- ARGV: prefix, worker, milliseconds of the lease, then the routes that the worker can run.
-- Keys: route, group, group clocks, job hash, todo, leases, attempts, crashes, sizes, in, timers, events,
--       worker leases, turn, bell, deadlines, and those of end_job.lua.
-- Gives: {bell routes, request, version or '', unit, unit, ...} with unit = {job, unit,
--        attempt, crashes, blob or '', 1 when it started its job}; {bell routes} for no work.
-- Guarantee: a unit is with one worker at a time; its attempt number is higher than any before.
-- Interactive work goes first; among groups of like jobs, among the tenants of a group, and among
-- a tenant's jobs, turns go round. Small units of jobs that run on one version come together until the model's
-- `unit_items` are full. No job has more units under way than it may, and none of a job whose time
-- has run out is handed out. Sent twice it takes twice; units that nobody heard of come back when
-- their lease runs out.
local worker, lease_ms = ARGV[2], tonumber(ARGV[3])
local FIRST_ROUTE = 4
-- What comes together at most, beside `unit_items`: units, since a claim of a thousand takes
-- 35 ms end to end (measured), and bytes of compressed input, which inflate to a few times as
-- much in the worker.
local MOST_UNITS, MOST_BYTES = 1000, 4194304
local claimed, items, bytes, budget = {}, 0, 0, 0
local request, version
-- An intake, a training, or a unit or part that was there when a worker died: the only one that
-- is taken, so that the next crash hits nobody else's items.
local stands_alone = false

local function take(id, unit, crashes)
  local key = job_key(id)
  local member = id .. ' ' .. unit
  redis.call('ZREM', key .. ':todo', unit)
  local attempt = redis.call('HINCRBY', key .. ':attempts', unit, 1)
  redis.call('HSET', key .. ':leases', unit, attempt .. ' ' .. worker)
  redis.call('ZADD', timers_key(), NOW + lease_ms, member)
  redis.call('SADD', worker_leases_key(worker), member)
  redis.call('EXPIRE', worker_leases_key(worker), WORKER_LEASES_TTL_S)
  local started = 0
  if redis.call('HGET', key, 'state') == 'queued' then
    started = 1
    redis.call('HSET', key, 'state', 'running', 'started', NOW)
    emit(id, 'started', '"worker":' .. cjson.encode(worker), true)
  end
  local blob = redis.call('HGET', key .. ':in', unit) or ''
  claimed[#claimed + 1] = {id, unit, attempt, crashes, blob, started}
end

-- Take a job out of its group if none of it may be handed out: its time has run out, it has
-- nothing to do, or as many units under way as it may have. Removes before it adds, since a full
-- Redis lets only such a script go on.
local function is_out(id, group)
  local key = job_key(id)
  local job = redis.call('HMGET', key, 'max_units', 'expires_at')
  if job[2] and tonumber(job[2]) <= NOW then
    expire_job(id)
    return true
  end
  local has_work = redis.call('EXISTS', key .. ':todo') == 1
  local is_capped = job[1] and redis.call('HLEN', key .. ':leases') >= tonumber(job[1])
  if has_work and not is_capped then return false end
  redis.call('ZREM', group, id)
  if has_work then redis.call('HSET', key, 'capped', 1) end
  return true
end

-- Take the next unit of one job; false when it does not go together with what is taken.
local function take_from(id)
  local key = job_key(id)
  local unit = redis.call('ZRANGE', key .. ':todo', 0, 0)[1]
  local size = math.max(tonumber(redis.call('HGET', key .. ':sizes', unit) or '1'), 1)
  local crashes = tonumber(redis.call('HGET', key .. ':crashes', unit) or '0')
  local alone = unit == 'intake' or unit == 'train' or crashes > 0 or unit_of(unit) ~= unit
  local length = redis.call('HSTRLEN', key .. ':in', unit)
  if #claimed == 0 then
    local job = redis.call('HMGET', key, 'spec', 'version', 'unit_items')
    request, version, budget = job[1], job[2] or '', tonumber(job[3])
    stands_alone = alone
  elseif alone or #claimed == MOST_UNITS
      or items + size > budget or bytes + length > MOST_BYTES then
    return false
  end
  items, bytes = items + size, bytes + length
  take(id, unit, crashes)
  return true
end

local function take_from_group(group)
  local key = group_key(group)
  repeat
    local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    local id = head[1]
    if not id then return end
    if not is_out(id, key) then
      if not take_from(id) then return end
      redis.call('HSET', key .. ':clocks', SERVED, head[2])
      if redis.call('EXISTS', job_key(id) .. ':todo') == 1 then
        take_a_place(id, group, redis.call('HGET', job_key(id), 'tenant'))
      else
        redis.call('ZREM', key, id)
      end
    end
  until #claimed > 0 and (stands_alone or items >= budget)
end

-- The group whose turn it is among the worker's routes.
local function next_group(priority)
  local best, best_turn, best_key
  for i = FIRST_ROUTE, #ARGV do
    local key = route_key(ARGV[i], priority)
    local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if head[1] and (not best or tonumber(head[2]) < best_turn) then
      best, best_turn, best_key = head[1], tonumber(head[2]), key
    end
  end
  return best, best_key
end

for _, priority in ipairs(PRIORITIES) do
  while #claimed == 0 do
    local group, key = next_group(priority)
    if not group then break end
    take_from_group(group)
    if redis.call('EXISTS', group_key(group)) == 1 then
      redis.call('ZADD', key, next_turn(), group)
    else
      redis.call('ZREM', key, group)
      redis.call('DEL', group_key(group) .. ':clocks')
    end
  end
end

-- More to do and nobody called: the caller rings for one more worker.
local reply = {routes_without_bell(FIRST_ROUTE)}
if #claimed > 0 then
  reply[2], reply[3] = request, version
  for _, unit in ipairs(claimed) do reply[#reply + 1] = unit end
end
return reply
