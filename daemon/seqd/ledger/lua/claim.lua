-- Hand claimable units to a worker, each under a lease with a fencing token.
--
-- ARGV: prefix, worker, milliseconds of the lease, bytes that the input of a claim may inflate to, then
--       milliseconds for which queues are left beside other work, and held ones without, how many are cold,
--       how many are held, and the queues that the worker can run: the cold ones, the held ones, all others.
-- Keys: queues, queue, jobs of a tenant, virtual times, since, weights, worker's classes, job hash, todo, leases,
--       attempts, crashes, faults, sizes, in, timers, events, worker leases, wakeup, offered ranges.
-- Returns: {request, version or '', roll-out or '', digest of its task's schemas or '', group,
--          unit, unit, ...} with unit = {job, unit, attempt, crashes, blob or '', 1 when it started its job, milliseconds
--          since the job was made, its faults or '', how its last worker died or ''}, the last two where there are
--          any; {} for no work, {1} where ranges of files are offered meanwhile.
-- Guarantee: a unit is with one worker at a time; its attempt number is higher than any before.
-- Classes share a worker by weight, tenants of a class by fair queueing, a tenant's jobs by fair
-- queueing among themselves: see shared/fair_queueing.lua. Small units of one group come together
-- until the model's `unit_items` are full, or their input would inflate to more than the worker takes,
-- and each is charged to its tenant; a unit that alone is larger, or does not state what it inflates
-- to, comes alone. No job has more units
-- under way than it may, and none of a job whose time has run out is handed out. Sent twice it leases
-- twice; units whose reply was lost are claimable again when their lease has run out. So are the sound
-- ones that a call had leased when it failed at a damaged job: that counts as a crash of each. It looks
-- at MAX_JOBS jobs at most: where none of them has work, it asks by its reply to be called again.
local worker, lease_ms, most_bytes = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

-- For a queue that is left, the worker would have to unload a model. A cold one is of a model that no worker
-- has in memory, a held one of a model that another has.
local left_ms, held_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
local FIRST_QUEUE = 9
local FIRST_HELD = FIRST_QUEUE + tonumber(ARGV[7])
local FIRST_OTHER = FIRST_HELD + tonumber(ARGV[8])

-- So often `left_ms` may pass in which nobody claims from a queue that is held.
local HELD_TIMES = 5

-- Shares of a worker among the classes that have work for it, by the work that it gets. Interactive
-- goes first until it has had sixteen times what bulk has had, and four times what normal has had: of
-- 21 full units one is bulk and four are normal, so that neither waits for ever.
local WEIGHTS = {interactive = 16, normal = 4, bulk = 1}

-- What a claim costs at least, in full units: a device needs longer for a small batch than its share
-- of a full one. Without it, a tenant whose jobs cannot be batched would get most of the time.
local MIN_COST = 1 / 16

-- Queues whose first tenants are as close to each other as this, in full units, are served in turn, so
-- that none waits for a tie. Less than MAX_LAG.
local TIE = 1

-- How far a batch may bring some of a tenant's jobs ahead of those that do not fit into it, in full
-- units. Else these would wait for as long as other tenants' batches have room for the first.
local MAX_AHEAD = 1

-- Limits of one claim beside `unit_items` and `most_bytes`: units, since one of 200 takes Redis 2,000
-- commands, or 10 ms. And of what it looks at: jobs, those that do not fit into the batch, tenants that have
-- nothing for it, times in queues that are out of date, tenants and jobs that it reads at once; how many of these
-- first; and in how many queues it looks for the next tenant beside one job.
local MAX_UNITS = 200
local MAX_JOBS, MAX_MISFITS, MAX_STRANGERS, MAX_MOVES = 640, 16, 8, 100
local AT_ONCE, AT_FIRST, QUEUES_A_JOB = 64, 16, 25
-- What counts as looking at as many jobs: to lease a unit, and to charge a tenant for its units.
local LEASED_AS_JOBS, CHARGED_AS_JOBS = 2, 3
local claimed, items, bytes, budget = {}, 0, 0, 0
local jobs_seen, misfits, moves = 0, 0, 0
local request, version, rollout, task_schema, group_of_claim
local worker_json = '"worker":' .. cjson.encode(worker)
-- True for an ingest, a training, or a unit or part that was held when a worker died: it is claimed
-- alone, so that the next crash hits nobody else's items.
local is_exclusive = false

-- Leases of this claim, written at its end in one go.
local members, timers = {}, {}

-- Lease a unit to the worker.
local function lease_unit(id, unit, job, crashes, blob, tenant)
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
    emit(id, 'started', worker_json, true, tenant)
  end
  local age_ms = math.max(0, NOW - (tonumber(job.created) or NOW))
  local row = {id, unit, attempt, crashes, blob, started, age_ms}
  local may_have_killed = crashes > 0 or unit_of(unit) ~= unit
  if job.faulted or may_have_killed then
    row[8] = job.faulted and faults_of(key, unit) or ''
    row[9] = may_have_killed and death_of(key, unit) or ''
  end
  claimed[#claimed + 1] = row
  jobs_seen = jobs_seen + LEASED_AS_JOBS - 1
end

-- Write when the leases end and who holds them, also if the script failed on a later unit: then they
-- run out like any other.
local function record_leases()
  if #members == 0 then return end
  redis.call('ZADD', timers_key(), unpack(timers))
  redis.call('SADD', worker_leases_key(worker), unpack(members))
  redis.call('EXPIRE', worker_leases_key(worker), WORKER_LEASES_TTL_S)
end

-- Fields of a job that a claim reads.
local CLAIM_FIELDS = {'state', 'max_units', 'expires_at', 'units', 'sealed', 'total', 'faulted', 'created'}
local function read_claimed(id)
  local row = redis.call('HMGET', job_key(id), unpack(CLAIM_FIELDS))
  return {state = row[1], max_units = row[2], expires_at = row[3], units = row[4], sealed = row[5],
    total = row[6], faulted = row[7], created = row[8]}
end
-- True when none of a job's units may be leased, so that it leaves its tenant's: it is not there, its
-- time has run out, it has no claimable unit, or as many under way as it may have.
local function is_idle(id, job, todo)
  local key = job_key(id)
  if not job.state then return true end
  -- expire.lua ends it by its deadline, or who looks at it: what ends a job would be half of this script, and
  -- a call defines all of it anew.
  if job.expires_at and tonumber(job.expires_at) <= NOW then return true end
  local is_capped = job.max_units and job.state ~= 'queued'
    and redis.call('HLEN', key .. ':leases') >= tonumber(job.max_units)
  if todo[1] and not is_capped then return false end
  if todo[1] then redis.call('HSET', key, 'capped', 1) end
  return true
end

-- Lease the next unit of one job; returns its work in full units, nil when it may not be claimed
-- together with those before.
local function lease_next(id, job, unit, tenant)
  local key = job_key(id)
  local size = math.max(tonumber(size_of(key, unit, job) or '1'), 1)
  -- A job that is queued has never been begun.
  local crashes = job.state == 'queued' and 0
    or tonumber(redis.call('HGET', key .. ':crashes', unit) or '0')
  local exclusive = unit == 'ingest' or unit == TRAIN_UNIT or crashes > 0 or unit_of(unit) ~= unit
  local blob = redis.call('HGET', key .. ':in', unit) or ''
  local inflated = stated_bytes(blob) or most_bytes
  if #claimed == 0 then
    local first = redis.call('HMGET', key, 'spec', 'version', 'unit_items', 'rollout', 'task_schema', 'group')
    request, version, budget, rollout = first[1], first[2] or '', tonumber(first[3]), first[4] or ''
    task_schema, group_of_claim = first[5] or '', first[6] or ''
    is_exclusive = exclusive
  elseif exclusive or #claimed == MAX_UNITS
      or items + size > budget or bytes + inflated > most_bytes then
    return nil
  end
  items, bytes = items + size, bytes + inflated
  lease_unit(id, unit, job, crashes, blob, tenant)
  return unit == 'ingest' and 1 or size / budget
end

-- A batch: units of one group and queue, from one tenant or several. `tenants` are those that were looked at;
-- those of them that may have more are `waiting`, the lowest time first. `misfits` are jobs that do not fit.
local batch

local function is_full()
  return jobs_seen >= MAX_JOBS or misfits >= MAX_MISFITS
    or (#claimed > 0 and (is_exclusive or items >= budget or bytes >= most_bytes
      or #claimed == MAX_UNITS))
end

-- Put a tenant among those that wait, behind those with its time.
local function wait_in_order(tenant)
  local at = #batch.waiting
  while at > 0 and batch.waiting[at].time > tenant.time do at = at - 1 end
  table.insert(batch.waiting, at + 1, tenant)
end

-- Look at so many more tenants of the queue, in their order.
local function add_tenants(most)
  local found = redis.call('ZRANGE', queue_key(batch.queue, batch.priority), batch.read, batch.read + most - 1,
    'WITHSCORES')
  batch.read = batch.read + most
  local names = {}
  for i = 1, #found, 2 do names[#names + 1] = found[i] end
  if #names == 0 then return end
  local own = redis.call('ZMSCORE', virtual_times_key(batch.priority), unpack(names))
  for i, weight in ipairs(weights_of(names)) do
    local tenant = {name = names[i], weight = weight, work = 0, rows = {}, at = 1, is_read = false, done = {},
      time = math.max(found[2 * i] + batch.shift, tonumber(own[i]) or 0), most_time = math.huge,
      jobs = jobs_key(batch.queue, batch.priority, names[i])}
    batch.tenants[#batch.tenants + 1] = tenant
    wait_in_order(tenant)
  end
end

-- Remove those of a tenant's jobs that have nothing claimable left.
local function remove_done(tenant)
  if #tenant.done > 0 then redis.call('ZREM', tenant.jobs, unpack(tenant.done)) end
  tenant.done = {}
end

-- Read a tenant's first jobs, in their order: those of the batch's group that may fit.
local function read_jobs(tenant)
  remove_done(tenant)
  local most = tenant.moved_to and AT_ONCE or AT_FIRST
  local found = redis.call('ZRANGE', tenant.jobs, 0, most - 1, 'WITHSCORES')
  tenant.rows, tenant.at = {}, 1
  local group = batch.group .. ' '
  for i = 1, #found, 2 do
    local member, time = found[i], tonumber(found[i + 1])
    if string.sub(member, 1, #group) ~= group then
      tenant.most_time = math.min(tenant.most_time, time + MAX_AHEAD)
    elseif not batch.misfits[member] then
      tenant.rows[#tenant.rows + 1] = {member = member, id = string.sub(member, #group + 1), time = time}
    end
  end
  -- Up to here its jobs are in order, until one is moved.
  tenant.is_read, tenant.moved_to = #found < 2 * most, math.huge
end

-- The next of a tenant's jobs that may come into the batch; nil when there is none.
local function next_job(tenant)
  local row = tenant.rows[tenant.at]
  if not tenant.is_read and not (row and row.time <= tenant.moved_to) then
    read_jobs(tenant)
    row = tenant.rows[1]
  end
  if not row or (#claimed > 0 and row.time > tenant.most_time) then return nil end
  tenant.at = tenant.at + 1
  return row
end

-- Lease a unit of a tenant's next job, unless it does not fit into the batch; false when the tenant has
-- none that may.
local function serve(tenant)
  local row = next_job(tenant)
  if not row then return false end
  jobs_seen = jobs_seen + 1
  local job, todo = read_claimed(row.id), redis.call('ZRANGE', job_key(row.id) .. ':todo', 0, 1)
  local work = not is_idle(row.id, job, todo) and lease_next(row.id, job, todo[1], tenant.name)
  if work == nil then
    batch.misfits[row.member], misfits = true, misfits + 1
    tenant.most_time = math.min(tenant.most_time, row.time + MAX_AHEAD)
  elseif work and todo[2] then
    redis.call('ZADD', tenant.jobs, row.time + work, row.member)
    tenant.moved_to, tenant.is_read = math.min(tenant.moved_to, row.time + work), false
  else
    tenant.done[#tenant.done + 1] = row.member
  end
  if work then
    if tenant.work == 0 then jobs_seen = jobs_seen + CHARGED_AS_JOBS end
    tenant.time, tenant.work = tenant.time + work / tenant.weight, tenant.work + work
  end
  return true
end

-- Fill the batch: the tenant with the lowest virtual time is next. Others than the first are looked at once it
-- has been handed something, and there is room for more.
local function fill()
  local strangers = 0
  add_tenants(1)
  repeat
    local tenant = table.remove(batch.waiting, 1)
    if serve(tenant) then
      wait_in_order(tenant)
    elseif tenant.work == 0 then
      strangers = strangers + 1
    end
    local has_room = #claimed > 0 and strangers < MAX_STRANGERS and not is_full()
    if has_room and (batch.read == 1 or #batch.waiting == 0) then add_tenants(AT_FIRST) end
  until #batch.waiting == 0 or is_full()
end

-- Charge the tenants for what they were handed, and write where they stand now; returns the work of
-- the claim in full units. Tenants that have nothing left leave the queue, at the end, since with the
-- last of them all that was charged is forgotten.
local function charge_tenants()
  local queue, priority, first = batch.queue, batch.priority, batch.tenants[1]
  local total = 0
  for _, tenant in ipairs(batch.tenants) do total = total + tenant.work end
  if #claimed > 0 and total < MIN_COST then
    first.time = first.time + (MIN_COST - total) / first.weight
    first.work, total = MIN_COST, MIN_COST
  end
  local own, in_queue, leaving = {batch.time, CLASS_TIME, batch.time, ':' .. queue}, {}, {}
  for _, tenant in ipairs(batch.tenants) do
    if tenant.work > 0 then
      own[#own + 1], own[#own + 2] = tenant.time, tenant.name
      in_queue[#in_queue + 1], in_queue[#in_queue + 2] = tenant.time - batch.shift, tenant.name
    end
    if #tenant.done > 0 then
      remove_done(tenant)
      if redis.call('EXISTS', tenant.jobs) == 0 then leaving[#leaving + 1] = tenant.name end
    end
  end
  if #claimed > 0 then
    redis.call('ZADD', virtual_times_key(priority), 'GT', unpack(own))
    redis.call('ZADD', queue_key(queue, priority), 'XX', unpack(in_queue))
    redis.call('HSET', since_key(priority), ':' .. queue, NOW_TEXT)
  end
  for _, name in ipairs(leaving) do leave_queue(queue, priority, name) end
  return total
end

-- The first tenant in a queue, with the virtual time that it has by all that it was handed; nil when
-- nobody is there. One that was served from other queues meanwhile, and is not the first any more,
-- is moved back.
local function first_tenant(queue, priority, class_time)
  local name, times = queue_key(queue.name, priority), virtual_times_key(priority)
  while true do
    local first = redis.call('ZRANGE', name, 0, 1, 'WITHSCORES')
    if not first[1] then return leave_queue(queue.name, priority, '') end
    queue.shift = catch_up(queue.name, priority, queue.shift, first[2], class_time)
    local row = redis.call('ZMSCORE', times, first[1], ':' .. queue.name)
    local time, own = first[2] + queue.shift, tonumber(row[1]) or 0
    local is_first = own <= time or not first[3] or own <= first[4] + queue.shift
    if is_first or moves == MAX_MOVES then
      return {name = first[1], time = math.max(time, own), served_at = tonumber(row[2]) or -1, queue = queue}
    end
    moves = moves + 1
    redis.call('ZADD', name, own - queue.shift, first[1])
  end
end

-- The first tenant of each queue of a class. Drops the times of tenants that they do not hold back any
-- more; first, since a full Redis lets only a script go on that removes before it adds.
local function first_tenants(class)
  local times = virtual_times_key(class.priority)
  class.virtual_time = tonumber(redis.call('ZMSCORE', times, CLASS_TIME)[1]) or 0
  local past = redis.call('ZRANGEBYSCORE', times, '-inf', class.virtual_time - MAX_LAG, 'LIMIT', 0, AT_ONCE)
  redis.call('ZREM', times, '', unpack(past))
  local first = {}
  for _, queue in ipairs(class.queues) do
    first[#first + 1] = first_tenant(queue, class.priority, class.virtual_time)
  end
  return first
end

-- The place in that list of the tenant that is next in the class; nil when nobody is there.
local function next_place(first)
  local lowest, best = math.huge, nil
  for _, tenant in ipairs(first) do lowest = math.min(lowest, tenant.time) end
  for at, tenant in ipairs(first) do
    local is_close = tenant.time <= lowest + TIE
    if is_close and (not best or tenant.served_at < first[best].served_at) then best = at end
  end
  jobs_seen = jobs_seen + math.floor(#first / QUEUES_A_JOB)
  return best
end

-- Claim for the first tenant of a queue; returns the work in full units, nil when nothing of what was looked
-- at is claimable.
local function claim_for(tenant)
  local queue, priority = tenant.queue, tenant.queue.priority
  jobs_seen = jobs_seen + 1  -- also where there is none
  local jobs = jobs_key(queue.name, priority, tenant.name)
  local first = redis.call('ZRANGE', jobs, 0, 0)[1]
  if not first then return leave_queue(queue.name, priority, tenant.name) end
  local group = string.match(first, '^(%S+) ')
  batch = {queue = queue.name, shift = queue.shift, priority = priority, group = group, time = tenant.time,
    tenants = {}, waiting = {}, read = 0, misfits = {}}
  local ok, failure = pcall(fill)
  local work = charge_tenants()
  if not ok then error(failure, 0) end
  return #claimed > 0 and work or nil
end

-- Claim for the tenant that is next in a class; returns the work in full units, nil when nothing of
-- the class is claimable.
local function claim_from(class)
  local first = first_tenants(class)
  while jobs_seen < MAX_JOBS and misfits < MAX_MISFITS do
    local place = next_place(first)
    if not place then return nil end
    local work = claim_for(first[place])
    if work then return work end
    -- Nothing was handed out, so the other queues are as they were.
    first[place] = first_tenant(first[place].queue, class.priority, class.virtual_time)
    if not first[place] then table.remove(first, place) end
  end
end

-- Leave out the queues whose model would have to be loaded in place of another, but for those that have waited:
-- beside other work, the one that nobody has claimed from for the longest; without any, also the cold ones, and the
-- held ones that have had work for a while, with which their worker cannot keep up.
local function without_left(queues)
  local rest, left, longest = {}, {}, nil
  for _, queue in ipairs(queues) do
    local list = queue.place >= FIRST_OTHER and rest or left
    list[#list + 1] = queue
  end
  local is_idle = #rest == 0
  for _, queue in ipairs(left) do
    local has_holder = queue.place >= FIRST_HELD
    local since = redis.call('HMGET', since_key(queue.priority), queue.name, ':' .. queue.name)
    local began = tonumber(since[1]) or 0
    queue.unserved_ms = NOW - (tonumber(since[2]) or began)
    local is_unserved = queue.unserved_ms >= left_ms * (has_holder and HELD_TIMES or 1)
    if is_idle and (is_unserved or not has_holder or NOW - began >= held_ms) then
      rest[#rest + 1] = queue
    elseif is_unserved and not (longest and longest.unserved_ms >= queue.unserved_ms) then
      longest = queue
    end
  end
  rest[#rest + 1] = longest
  return rest
end

-- The classes that have work for this worker, the one that is next in front: start-time fair queueing
-- once more, of the worker's own time, so that it holds whatever other workers can run.
local with_work = {}  -- queues of all classes
local function classes_in_order()
  for _, priority in ipairs(PRIORITIES) do
    for _, queue in ipairs(claimable_queues(priority, FIRST_QUEUE)) do with_work[#with_work + 1] = queue end
  end
  with_work = without_left(with_work)
  local classes = {}
  for rank, priority in ipairs(PRIORITIES) do
    local queues = {}
    for _, queue in ipairs(with_work) do
      if queue.priority == priority then queues[#queues + 1] = queue end
    end
    if #queues > 0 then classes[#classes + 1] = {priority = priority, rank = rank, queues = queues} end
  end
  if #classes < 2 then return classes end
  local row = redis.call('HMGET', worker_classes_key(worker), ':time', unpack(PRIORITIES))
  for _, class in ipairs(classes) do
    class.time = math.max(tonumber(row[class.rank + 1]) or 0, tonumber(row[1]) or 0)
  end
  table.sort(classes, function(a, b)
    if a.time ~= b.time then return a.time < b.time end
    return a.rank < b.rank
  end)
  return classes
end

-- Charge a class for what the worker got of it. Where no other has work, none is owed anything; nor is
-- it after an hour without two of them.
local CLASSES_TTL_S = 3600
local function charge_class(class, work)
  local key = worker_classes_key(worker)
  redis.call('HSET', key, ':time', class.time, class.priority, class.time + work / WEIGHTS[class.priority])
  redis.call('EXPIRE', key, CLASSES_TTL_S)
end

local function claim()
  local classes = classes_in_order()
  for _, class in ipairs(classes) do
    local work = claim_from(class)
    if work then
      if #classes > 1 then charge_class(class, work) end
      return
    end
  end
end

local ok, failure = pcall(claim)
record_leases()
if not ok then error(failure, 0) end

-- One more worker for each route that has more claimable units.
wake_where_due(with_work)
if #claimed == 0 then return redis.call('EXISTS', offered_key()) == 1 and {1} or {} end
return {request, version, rollout, task_schema, group_of_claim, unpack(claimed)}
