-- Hand claimable units to a worker, each under a lease with a fencing token.
--
-- ARGV: prefix, worker, milliseconds of the lease, then the routes that the worker can run.
-- Keys: route, group, group clocks, job hash, todo, leases, attempts, crashes, sizes, in, timers,
--       events, worker leases, turn, bell, deadlines, and those of end_job.lua.
-- Gives: {bell routes, request, version or '', unit, unit, ...} with unit = {job, unit,
--        attempt, crashes, blob or '', 1 when it started its job}; {bell routes} for no work.
-- Guarantee: a unit is with one worker at a time; its attempt number is higher than any before.
-- Interactive work goes first; among groups of like jobs, among the tenants of a group, and among
-- a tenant's jobs, turns go round. Small units of jobs that run on one version come together until
-- the model's `unit_items` are full. No job has more units under way than it may, and none of a job
-- whose time has run out is handed out. Sent twice it takes twice; units that nobody heard of come
-- back when their lease runs out. So do the sound ones that a call had taken when it tripped over a
-- damaged job: that counts as a crash of each.
local worker, lease_ms = ARGV[2], tonumber(ARGV[3])
local FIRST_ROUTE = 4
-- What comes together at most, beside `unit_items`: units, since a claim of a thousand takes
-- 35 ms end to end (measured), and bytes of compressed input, which inflate to a few times as
-- much in the worker.
local MOST_UNITS, MOST_BYTES = 1000, 4194304
local claimed, items, bytes, budget = {}, 0, 0, 0
local request, version
local worker_json = '"worker":' .. cjson.encode(worker)
-- An intake, a training, or a unit or part that was there when a worker died: the only one that
-- is taken, so that the next crash hits nobody else's items.
local stands_alone = false

-- What the worker holds now, to be written down in one go.
local members, timers = {}, {}

-- Hand a unit out.
local function take(id, unit, job, crashes, blob)
  local key = job_key(id)
  members[#members + 1] = id .. ' ' .. unit
  timers[#timers + 1], timers[#timers + 2] = NOW + lease_ms, id .. ' ' .. unit
  redis.call('ZREM', key .. ':todo', unit)
  local attempt = redis.call('HINCRBY', key .. ':attempts', unit, 1)
  redis.call('HSET', key .. ':leases', unit, attempt .. ' ' .. worker)
  local started = 0
  if job.state == 'queued' then
    started = 1
    redis.call('HSET', key, 'state', 'running', 'started', NOW_TEXT)
    emit(id, 'started', worker_json, true)
  end
  claimed[#claimed + 1] = {id, unit, attempt, crashes, blob, started}
end

-- Say when the leases end and who has them, also if the script failed on a later unit: such a unit
-- comes back like any other. 500 at a time, since `unpack` puts them on the stack.
local function write_leases_down()
  for i = 1, #members, 500 do
    local last = math.min(i + 499, #members)
    redis.call('ZADD', timers_key(), unpack(timers, 2 * i - 1, 2 * last))
    redis.call('SADD', worker_leases_key(worker), unpack(members, i, last))
  end
  if #members > 0 then redis.call('EXPIRE', worker_leases_key(worker), WORKER_LEASES_TTL_S) end
end

-- What a claim needs to know of a job.
local CLAIM_FIELDS = {'state', 'max_units', 'expires_at', 'tenant', 'units', 'sealed', 'total'}
-- Take a job out of its group if none of it may be handed out: it is not there, its time has run
-- out, it has nothing to do, or as many units under way as it may have. Removes before it adds,
-- since a full Redis lets only such a script go on.
local function is_out(id, job, todo, group)
  local key = job_key(id)
  if not job.state then
    if redis.call('EXISTS', key) == 1 then error('the job has no state', 0) end
    redis.call('ZREM', group, id)
    return true
  end
  if job.expires_at and tonumber(job.expires_at) <= NOW then
    expire_job(id)
    return true
  end
  local is_capped = job.max_units and job.state ~= 'queued'
    and redis.call('HLEN', key .. ':leases') >= tonumber(job.max_units)
  if todo[1] and not is_capped then return false end
  redis.call('ZREM', group, id)
  if todo[1] then redis.call('HSET', key, 'capped', 1) end
  return true
end

-- Take the next unit of one job; false when it does not go together with what is taken.
local function take_from(id, job, unit)
  local key = job_key(id)
  local size = math.max(tonumber(size_of(key, unit, job) or '1'), 1)
  -- A job that is queued has never been begun.
  local crashes = job.state == 'queued' and 0
    or tonumber(redis.call('HGET', key .. ':crashes', unit) or '0')
  local alone = unit == 'intake' or unit == 'train' or crashes > 0 or unit_of(unit) ~= unit
  local blob = redis.call('HGET', key .. ':in', unit) or ''
  if #claimed == 0 then
    local first = redis.call('HMGET', key, 'spec', 'version', 'unit_items')
    request, version, budget = first[1], first[2] or '', tonumber(first[3])
    stands_alone = alone
  elseif alone or #claimed == MOST_UNITS
      or items + size > budget or bytes + #blob > MOST_BYTES then
    return false
  end
  items, bytes = items + size, bytes + #blob
  take(id, unit, job, crashes, blob)
  return true
end

-- Who is next in a group or on a route, and its turn. What is none is deleted.
local function head_of(key)
  local head = redis.pcall('ZRANGE', key, 0, 0, 'WITHSCORES')
  if not head.err then return head end
  if not string.find(head.err, 'WRONGTYPE', 1, true) then error(head, 0) end
  redis.call('DEL', key)
  return {}
end

local function take_from_group(group)
  local key = group_key(group)
  local served
  repeat
    local head = head_of(key)
    local id = head[1]
    if not id then break end
    local job, todo = read_fields(id, CLAIM_FIELDS), redis.call('ZRANGE', job_key(id) .. ':todo', 0, 1)
    if not is_out(id, job, todo, key) then
      if not take_from(id, job, todo[1]) then break end
      served = head[2]
      if todo[2] then
        redis.call('HSET', key .. ':clocks', SERVED, served)
        take_a_place(id, group, job.tenant)
      else
        redis.call('ZREM', key, id)
      end
    end
  until #claimed > 0 and (stands_alone or items >= budget)
  if served then redis.call('HSET', key .. ':clocks', SERVED, served) end
end

-- The group whose turn it is among the worker's routes.
local function next_group(priority)
  local best, best_turn, best_key
  for i = FIRST_ROUTE, #ARGV do
    local key = route_key(ARGV[i], priority)
    local head = head_of(key)
    if head[1] and (not best or tonumber(head[2]) < best_turn) then
      best, best_turn, best_key = head[1], tonumber(head[2]), key
    end
  end
  return best, best_key
end

local function claim()
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
end

local went_well, failure = pcall(claim)
write_leases_down()
if not went_well then error(failure, 0) end

-- More to do and nobody called: the caller rings for one more worker.
local reply = {routes_without_bell(FIRST_ROUTE)}
if #claimed > 0 then
  reply[2], reply[3] = request, version
  for _, unit in ipairs(claimed) do reply[#reply + 1] = unit end
end
return reply
