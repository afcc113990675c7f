-- Hand claimable units to a worker, each under a lease with a fencing token.
--
-- ARGV: prefix, worker, milliseconds of the lease, then the queues that the worker can run.
-- Keys: queue, group, virtual times, job hash, todo, leases, attempts, crashes, sizes, in, timers,
--       faults, events, worker leases, queue position, wakeup, deadlines, and those of end_job.lua.
-- Returns: {routes to notify, request, version or '', unit, unit, ...} with unit = {job, unit,
--          attempt, crashes, blob or '', 1 when it started its job, its faults if any}; {routes to notify} for no work.
-- Guarantee: a unit is with one worker at a time; its attempt number is higher than any before.
-- Interactive work goes first. Groups of a queue are served round robin, tenants of a group by fair
-- queueing, a tenant's jobs in order. Small units of one group come together until the model's
-- `unit_items` are full. No job has more units under way than it may, and none of a job
-- whose time has run out is handed out. Sent twice it leases twice; units whose reply was lost
-- are claimable again when their lease has run out. So are the sound ones that a call had leased when
-- it failed at a damaged job: that counts as a crash of each.
local worker, lease_ms = ARGV[2], tonumber(ARGV[3])
local FIRST_QUEUE = 4
-- Limits of one claim beside `unit_items`: units, since a claim of a thousand takes
-- 35 ms end to end (measured), and bytes of compressed input, which inflate to a few times as
-- much in the worker.
local MAX_UNITS, MAX_BYTES = 1000, 4194304
local claimed, items, bytes, budget = {}, 0, 0, 0
local request, version
local worker_json = '"worker":' .. cjson.encode(worker)
-- True for an ingest, a training, or a unit or part that was held when a worker died: it is claimed
-- alone, so that the next crash hits nobody else's items.
local is_exclusive = false

-- Leases of this claim, written at its end in one go.
local members, timers = {}, {}

-- Lease a unit to the worker.
local function lease_unit(id, unit, job, crashes, blob)
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
  local row = {id, unit, attempt, crashes, blob, started}
  if job.faulted then row[7] = faults_of(key, unit) end
  claimed[#claimed + 1] = row
end

-- Write when the leases end and who holds them, also if the script failed on a later unit: then they
-- run out like any other. 500 at a time, since `unpack` puts them on the stack.
local function record_leases()
  for i = 1, #members, 500 do
    local last = math.min(i + 499, #members)
    redis.call('ZADD', timers_key(), unpack(timers, 2 * i - 1, 2 * last))
    redis.call('SADD', worker_leases_key(worker), unpack(members, i, last))
  end
  if #members > 0 then redis.call('EXPIRE', worker_leases_key(worker), WORKER_LEASES_TTL_S) end
end

-- Fields of a job that a claim reads.
local CLAIM_FIELDS = {'state', 'max_units', 'expires_at', 'tenant', 'units', 'sealed', 'total',
  'faulted'}
-- Take a job out of its group if none of its units may be leased: it is not there, its time has run
-- out, it has no claimable unit, or as many under way as it may have. True if it did. Removes before
-- it adds, since a full Redis lets only such a script go on.
local function leave_group_if_idle(id, job, todo, group)
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

-- Lease the next unit of one job; false when it may not be claimed together with those before.
local function lease_next(id, job, unit)
  local key = job_key(id)
  local size = math.max(tonumber(size_of(key, unit, job) or '1'), 1)
  -- A job that is queued has never been begun.
  local crashes = job.state == 'queued' and 0
    or tonumber(redis.call('HGET', key .. ':crashes', unit) or '0')
  local exclusive = unit == 'ingest' or unit == 'train' or crashes > 0 or unit_of(unit) ~= unit
  local blob = redis.call('HGET', key .. ':in', unit) or ''
  if #claimed == 0 then
    local first = redis.call('HMGET', key, 'spec', 'version', 'unit_items')
    request, version, budget = first[1], first[2] or '', tonumber(first[3])
    is_exclusive = exclusive
  elseif exclusive or #claimed == MAX_UNITS
      or items + size > budget or bytes + #blob > MAX_BYTES then
    return false
  end
  items, bytes = items + size, bytes + #blob
  lease_unit(id, unit, job, crashes, blob)
  return true
end

-- First member of a group or queue, and its score. A key of another type is deleted.
local function head_of(key)
  local head = redis.pcall('ZRANGE', key, 0, 0, 'WITHSCORES')
  if not head.err then return head end
  if not string.find(head.err, 'WRONGTYPE', 1, true) then error(head, 0) end
  redis.call('DEL', key)
  return {}
end

local function lease_from_group(group)
  local key = group_key(group)
  local group_time
  repeat
    local head = head_of(key)
    local id = head[1]
    if not id then break end
    local job, todo = read_fields(id, CLAIM_FIELDS), redis.call('ZRANGE', job_key(id) .. ':todo', 0, 1)
    if not leave_group_if_idle(id, job, todo, key) then
      if not lease_next(id, job, todo[1]) then break end
      group_time = head[2]
      if todo[2] then
        redis.call('HSET', key .. ':virtual_times', GROUP_TIME, group_time)
        add_to_group(id, group, job.tenant)
      else
        redis.call('ZREM', key, id)
      end
    end
  until #claimed > 0 and (is_exclusive or items >= budget)
  if group_time then redis.call('HSET', key .. ':virtual_times', GROUP_TIME, group_time) end
end

-- The group that waits longest in the worker's queues, and its queue's key.
local function next_group(priority)
  local best, best_position, best_key
  for i = FIRST_QUEUE, #ARGV do
    local key = queue_key(ARGV[i], priority)
    local head = head_of(key)
    if head[1] and (not best or tonumber(head[2]) < best_position) then
      best, best_position, best_key = head[1], tonumber(head[2]), key
    end
  end
  return best, best_key
end

local function claim()
  for _, priority in ipairs(PRIORITIES) do
    while #claimed == 0 do
      local group, key = next_group(priority)
      if not group then break end
      lease_from_group(group)
      if redis.call('EXISTS', group_key(group)) == 1 then
        redis.call('ZADD', key, next_queue_position(), group)
      else
        redis.call('ZREM', key, group)
        redis.call('DEL', group_key(group) .. ':virtual_times')
      end
    end
  end
end

local ok, failure = pcall(claim)
record_leases()
if not ok then error(failure, 0) end

-- Routes that have more claimable units: the caller notifies one more worker for each.
local reply = {routes_to_notify(FIRST_QUEUE)}
if #claimed > 0 then
  reply[2], reply[3] = request, version
  for _, unit in ipairs(claimed) do reply[#reply + 1] = unit end
end
return reply
