-- The queue: which job is next, which units can be claimed, and which workers are to be woken.
--
-- Shared by all scripts. A queue is a route with the version that its jobs run on, a class is a
-- priority, a group is jobs that one batch can hold. Only what has claimable units stands in these
-- sorted sets, each of which leads to the next:
--   queues:CLASS               queue → what is added to the virtual times that stand in it
--   queue:QUEUE:CLASS          tenant → virtual time
--   queue:QUEUE:CLASS:TENANT   GROUP JOB → virtual time
-- Beside them, virtual_times:CLASS has what tenants were handed, and since:CLASS for how long nobody
-- has claimed from a queue.
--
-- Start-time fair queueing (Goyal, Vin and Cheng 1996), with tenants as flows, and again with the jobs
-- of a tenant. Who is served is who has the lowest virtual time, and it moves on by the work that was
-- handed out, in full units of its model: so a claim of few items costs little, and a unit of a slow
-- model as much as one of a fast model. Who comes anew starts at the virtual time of the first in the
-- queue, so that nobody saves up a share by being away; and not before its own, so that nobody gains
-- one by coming and going.
--
-- A tenant's virtual time moves on by its work divided by its weight, 1 where no operator has set another:
-- of tenants that always have work, each gets of it in proportion.
--
-- A tenant has one virtual time a class, whatever queues it uses. Times in a queue may be behind it,
-- since the tenant was served from another; they are looked at again when they come first. The queues
-- of a class move on at different speeds where workers differ. One that is more than MAX_LAG behind
-- is moved on as a whole, which leaves its order as it is: so a tenant that has had much from an idle
-- queue waits for at most so many units of each other tenant in a busy one.
local MAX_LAG = 8  -- full units; more than what workers hold of one queue at a time would hide

-- How far a job stands behind one of its tenant's that came before, in items: in order of arrival, and
-- so close that all take turns. Beside a stream of jobs of one item, of which each takes this from it,
-- a long job has a third of its tenant's share.
local JOB_STEP_ITEMS = 0.5

-- Members of virtual_times beside tenants, whose names begin with no colon: the highest virtual time
-- at which anything was served, and, behind a colon, that at which a queue was served last.
local CLASS_TIME = ':class'

-- The weights of tenants, in their order.
local function weights_of(tenants)
  local weights = redis.call('HMGET', weights_key(), unpack(tenants))
  for i = 1, #tenants do weights[i] = tonumber(weights[i] or '1') end
  return weights
end

-- Move a queue on that is too far behind its class; returns what is to be added to its times.
local function catch_up(queue, priority, shift, first_time, class_time)
  local behind = class_time - MAX_LAG - first_time - shift
  if behind <= 0 then return shift end
  redis.call('ZADD', queues_key(priority), shift + behind, queue)
  return shift + behind
end

-- Put a tenant into a queue, unless it stands there.
local function join_queue(queue, priority, tenant)
  local name = queue_key(queue, priority)
  local shift = tonumber(redis.call('ZMSCORE', queues_key(priority), queue)[1])
  local standing = redis.call('ZMSCORE', name, tenant)[1]
  if standing and shift then return end
  local times = redis.call('ZMSCORE', virtual_times_key(priority), tenant, CLASS_TIME)
  local class_time = tonumber(times[2]) or 0
  local first = redis.call('ZRANGE', name, 0, 0, 'WITHSCORES')
  if not shift then
    shift = 0
    redis.call('ZADD', queues_key(priority), shift, queue)
    redis.call('HSET', since_key(priority), queue, NOW_TEXT)
  end
  local queue_time = class_time
  if first[1] then
    shift = catch_up(queue, priority, shift, first[2], class_time)
    queue_time = first[2] + shift
  end
  redis.call('ZADD', name, 'NX', math.max(tonumber(times[1]) or 0, queue_time) - shift, tenant)
end

-- Put a job behind those of its tenant. `place` names its queue, priority, group, tenant and unit_items; in
-- a batch of jobs of one place, it remembers what need not be looked at again.
local function add_job(id, place)
  local step = JOB_STEP_ITEMS / math.max(tonumber(place.unit_items) or 1, 1)
  local jobs, last = jobs_key(place.queue, place.priority, place.tenant), place.last_time
  if not last then
    join_queue(place.queue, place.priority, place.tenant)
    last = tonumber(redis.call('ZRANGE', jobs, -1, -1, 'WITHSCORES')[2]) or 0
  end
  if deferred then place.last_time = last + step end
  write_shared('ZADD', jobs, last + step, place.group .. ' ' .. id)
end

-- Put a job with claimable units where the workers look, unless it is held; returns its route.
-- Idempotent.
local function enqueue_job(id)
  local job = read_fields(id, {'queue', 'priority', 'group', 'tenant', 'unit_items', 'state'})
  local route = route_of(job.queue)
  local jobs = jobs_key(job.queue, job.priority, job.tenant)
  if not is_held(job.state) and not redis.call('ZSCORE', jobs, job.group .. ' ' .. id) then
    add_job(id, job)
  end
  return route
end

-- Take a tenant out of a queue in which nothing of it is claimable any more.
local function leave_queue(queue, priority, tenant)
  redis.call('ZREM', queue_key(queue, priority), tenant)
  if redis.call('EXISTS', queue_key(queue, priority)) == 1 then return end
  redis.call('ZREM', queues_key(priority), queue)
  redis.call('HDEL', since_key(priority), queue, ':' .. queue)
  if redis.call('EXISTS', queues_key(priority)) == 1 then return end
  -- Nobody waits, so nobody is owed anything.
  redis.call('UNLINK', virtual_times_key(priority))
end

-- Take a job away from where the workers look. Its fields are read.
local function dequeue_job(id, job)
  local jobs = jobs_key(job.queue, job.priority, job.tenant)
  if redis.call('ZREM', jobs, job.group .. ' ' .. id) == 1 and redis.call('EXISTS', jobs) == 0 then
    leave_queue(job.queue, job.priority, job.tenant)
  end
end

-- Order of a unit among the claimable ones of its job. The unit `ingest`, which adds new ones, comes
-- when few are left.
local INGEST_AHEAD_UNITS = 8
local function rank_of(unit, units)
  return unit == 'ingest' and units - INGEST_AHEAD_UNITS or tonumber(unit_of(unit)) or 0
end

-- Make a unit claimable now; returns its job's route.
local function make_claimable(id, unit)
  local key = job_key(id)
  local units = unit == 'ingest' and tonumber(redis.call('HGET', key, 'units'))
  redis.call('ZADD', key .. ':todo', rank_of(unit, units), unit)
  return enqueue_job(id)
end

local MAX_BACKOFF_MS = 600000

-- Make a unit whose lease was dropped claimable again: now, or after its back-off, which doubles with each
-- crash from the second on. Returns the job's route when it is claimable now.
local function requeue_unit(id, unit, has_crashed, backoff_ms)
  local key = job_key(id)
  if has_crashed then
    local crashes = redis.call('HINCRBY', key .. ':crashes', unit, 1)
    local wait_ms = crashes > 1 and math.min(backoff_ms * 2 ^ (crashes - 2), MAX_BACKOFF_MS) or 0
    if wait_ms > 0 then
      redis.call('ZADD', timers_key(), NOW + wait_ms, id .. ' ' .. unit)
      return nil
    end
  end
  return make_claimable(id, unit)
end

-- The model on whose version a queue's items run; nil of trainings, which run on none.
local function model_of(queue)
  local named = string.match(queue, '^([^@]*)@')
  return named and (string.match(named, ':(.*)$') or string.match(named, '%.(.*)$'))
end

-- Leave out the queues of models that an operator has paused: nothing of them may be claimed.
local function without_paused(queues)
  if #queues == 0 or redis.call('EXISTS', paused_models_key()) == 0 then return queues end
  local left, is_paused = {}, {}
  for _, queue in ipairs(queues) do
    local model = model_of(queue.name)
    if model and is_paused[model] == nil then
      is_paused[model] = redis.call('HEXISTS', paused_models_key(), model) == 1
    end
    if not (model and is_paused[model]) then left[#left + 1] = queue end
  end
  return left
end

-- Those queues of ARGV[first..] that have claimable units of a class, in their order, each with its place there
-- and what is added to its virtual times; but for those of paused models. 500 at a time, since `unpack` puts them on the stack.
local FEW_QUEUES = 16  -- of so many, looking them up costs as little as asking whether any has work
local function claimable_queues(priority, first)
  local found, key = {}, queues_key(priority)
  if #ARGV - first >= FEW_QUEUES and redis.call('EXISTS', key) == 0 then return found end
  for i = first, #ARGV, 500 do
    local last = math.min(i + 499, #ARGV)
    for at, shift in ipairs(redis.call('ZMSCORE', key, unpack(ARGV, i, last))) do
      if shift then
        local place = i + at - 1
        found[#found + 1] = {name = ARGV[place], place = place, priority = priority, shift = tonumber(shift)}
      end
    end
  end
  return without_paused(found)
end

-- Wake a worker of each route whose queues have claimable units.
local function wake_where_due(queues)
  local is_done = {}
  for _, queue in ipairs(queues) do
    local route = route_of(queue.name)
    if not is_done[route] and redis.call('EXISTS', queue_key(queue.name, queue.priority)) == 1 then
      wake(route)
      is_done[route] = true
    end
  end
end
