-- End jobs whose keys are not what the ledger writes, so that nobody trips over them again.
--
-- ARGV: prefix, failure as JSON, mode, job or place, worker ('' for none), then routes.
--       Modes: `job` ends the job. `suspect` ends it if it is there and damaged. `next` looks at
--       the jobs whose turn is next on the routes, those that the worker holds (which a script
--       that failed half way took for it), and those whose lease or deadline has passed. `open`
--       looks at open jobs from a place on.
-- Keys: all of a job's, worker leases, route, group, group clocks, timers, deadlines, jobs,
--       jobs:open.
-- Gives: {next place or 0, job, job, ...} with the jobs that were ended; what leads nowhere and was
--        deleted stands among them.
-- Guarantee: a job that was ended is claimed no more and reads as failed, whatever stood in its
-- keys. What could not be read is made zero, and its request stays in the field `spec_as_found`.
-- Nothing of a sound job is changed.
local failure, mode, asked, worker = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local FIRST_ROUTE = 6
local LOOK_AT = 200  -- timers, deadlines or open jobs, so that a call stays short
local WEEK_S = 604800
local TEXTS = {'spec', 'kind', 'model', 'route', 'priority', 'group', 'tenant'}
local COUNTS = {'total', 'succeeded', 'errored', 'cancelled', 'expired', 'units', 'units_done'}
local NUMBERS = {sealed = 0, pending_bytes = 0, unit_items = 1, ttl = WEEK_S, created = NOW}
local OPTIONAL = {'version', 'started', 'ended', 'expires_at', 'event_at', 'expected', 'max_units'}
local STATES = {queued = 1, running = 1, paused = 1, completed = 1, failed = 1, cancelled = 1,
  expired = 1}
local KINDS = {todo = 'zset', events = 'stream', pieces = 'stream'}  -- the other parts are hashes
local buried, next_place = {}, 0

local function kind_of(key) return redis.call('TYPE', key)['ok'] end

-- Up to 15 digits: what a double holds exactly.
local function is_whole(value)
  return value and #value <= 15 and string.match(value, '^%d+$') ~= nil
end

local function has_wrong_part(key)
  for _, part in ipairs(JOB_PARTS) do
    local kind = kind_of(key .. ':' .. part)
    if kind ~= 'none' and kind ~= (KINDS[part] or 'hash') then return true end
  end
  for _, part in ipairs({'attempts', 'crashes', 'sizes'}) do
    for _, value in ipairs(redis.call('HVALS', key .. ':' .. part)) do
      if not is_whole(value) then return true end
    end
  end
  return false
end

local function is_damaged(id)
  local key = job_key(id)
  if kind_of(key) ~= 'hash' or has_wrong_part(key) then return true end
  if not STATES[redis.call('HGET', key, 'state')] then return true end
  for _, name in ipairs(TEXTS) do
    if not redis.call('HGET', key, name) then return true end
  end
  for _, name in ipairs(COUNTS) do
    if not is_whole(redis.call('HGET', key, name)) then return true end
  end
  for name in pairs(NUMBERS) do
    if not is_whole(redis.call('HGET', key, name)) then return true end
  end
  for _, name in ipairs(OPTIONAL) do
    local value = redis.call('HGET', key, name)
    if value and not is_whole(value) then return true end
  end
  return false
end

local function groups_of(name)
  if kind_of(name) == 'zset' then return redis.call('ZRANGE', name, 0, -1) end
  redis.call('DEL', name)
  return {}
end

-- Take a job out of a group, and the group off its route when it was the last one.
local function leave(id, route_name, group)
  if kind_of(group_key(group)) == 'zset' then redis.call('ZREM', group_key(group), id) end
  if kind_of(group_key(group)) ~= 'zset' then
    redis.call('ZREM', route_name, group)
    redis.call('DEL', group_key(group), group_key(group) .. ':clocks')
  end
end

local function leave_routes(id)
  for i = FIRST_ROUTE, #ARGV do
    for _, priority in ipairs(PRIORITIES) do
      local name = route_key(ARGV[i], priority)
      for _, group in ipairs(groups_of(name)) do leave(id, name, group) end
    end
  end
end

-- Forget a member whose name no job can have.
local function forget(id)
  redis.call('DEL', job_key(id))
  for _, part in ipairs(JOB_PARTS) do redis.call('DEL', job_key(id) .. ':' .. part) end
  redis.call('ZREM', PREFIX .. ':jobs', id)
  redis.call('ZREM', PREFIX .. ':jobs:open', id)
  redis.call('ZREM', PREFIX .. ':uploads', id)
  redis.call('ZREM', deadlines_key(), id)
end

local function mend_names(key)
  local names = redis.call('HMGET', key, 'kind', 'model', 'priority', 'tenant', 'route', 'group')
  local kind = ({classify = 1, generate = 1, train = 1})[names[1]] and names[1] or 'classify'
  local model = names[2] and #names[2] <= 40 and string.match(names[2], '^%l[%l%d_]*$') or 'unknown'
  local tenant = names[4] and #names[4] <= 64 and string.match(names[4], '^%w[%w_.-]*$') or 'unknown'
  local priority = ({interactive = 1, normal = 1, bulk = 1})[names[3]] and names[3] or 'normal'
  redis.call('HSETNX', key, 'spec_as_found', redis.call('HGET', key, 'spec') or '')
  redis.call('HSET', key, 'kind', kind, 'model', model, 'tenant', tenant, 'priority', priority,
    'route', names[5] or '', 'group', names[6] or '', 'state', 'running',
    'spec', '{"kind":"' .. kind .. '","model":"' .. model .. '","source":{"type":"upload"}}')
end

local function mend_numbers(key)
  for name, value in pairs(NUMBERS) do
    if not is_whole(redis.call('HGET', key, name)) then redis.call('HSET', key, name, value) end
  end
  if tonumber(redis.call('HGET', key, 'ttl')) < 1 then redis.call('HSET', key, 'ttl', WEEK_S) end
  local sound = true
  for _, name in ipairs(COUNTS) do sound = sound and is_whole(redis.call('HGET', key, name)) end
  if not sound or counts(key)[6] < 0 then
    for _, name in ipairs(COUNTS) do redis.call('HSET', key, name, 0) end
  end
  for _, name in ipairs(OPTIONAL) do
    local value = redis.call('HGET', key, name)
    if value and not is_whole(value) then redis.call('HDEL', key, name) end
  end
  redis.call('HDEL', key, 'training', 'failure', 'capped', 'continued_by', 'idempotency',
    'client')
end

local function bury(id)
  leave_routes(id)
  buried[#buried + 1] = id
  local key = job_key(id)
  if kind_of(key) == 'none' or #id > 64 or not string.match(id, '^%w[%w_-]*$') then
    return forget(id)
  end
  if kind_of(key) ~= 'hash' then redis.call('DEL', key) end
  for _, part in ipairs(JOB_PARTS) do
    local kind = kind_of(key .. ':' .. part)
    if kind ~= (KINDS[part] or 'hash') then redis.call('DEL', key .. ':' .. part) end
  end
  mend_names(key)
  mend_numbers(key)
  -- One that was never handed in has not been charged for, so its end must not give anything back.
  if not redis.call('ZSCORE', PREFIX .. ':jobs:open', id) then
    for _, name in ipairs(COUNTS) do redis.call('HSET', key, name, 0) end
    redis.call('HSET', key, 'pending_bytes', 0)
    charge(redis.call('HGET', key, 'tenant'), 1, 0, 0)
  end
  redis.call('ZADD', PREFIX .. ':jobs', 'NX', NOW, id)
  -- Its fields, which tell the end of a job where it may stand, may say otherwise.
  redis.call('ZREM', PREFIX .. ':uploads', id)
  redis.call('ZREM', deadlines_key(), id)
  redis.call('ZREM', warnings_key(), id .. ' job')
  stop_job(id, 'failed', failure)
end

local function look_at_routes()
  for i = FIRST_ROUTE, #ARGV do
    for _, priority in ipairs(PRIORITIES) do
      local name = route_key(ARGV[i], priority)
      for _, group in ipairs(groups_of(name)) do
        if kind_of(group_key(group)) == 'zset' then
          local id = redis.call('ZRANGE', group_key(group), 0, 0)[1]
          if is_damaged(id) then bury(id) end
        else
          leave('', name, group)
          buried[#buried + 1] = 'group ' .. group
        end
      end
    end
  end
end

-- Look at the job of a lease or timer; forget a member that names none.
local function look_at_member(member)
  local id = string.match(member, '^(%S+) %S+$')
  if not id or is_damaged(id) then
    redis.call('ZREM', timers_key(), member)
    if worker ~= '' then redis.call('SREM', worker_leases_key(worker), member) end
    if id then bury(id) else buried[#buried + 1] = member end
  end
end

local function look_at_what_is_next()
  look_at_routes()
  if worker ~= '' then
    for _, member in ipairs(redis.call('SMEMBERS', worker_leases_key(worker))) do
      look_at_member(member)
    end
  end
  local due = redis.call('ZRANGEBYSCORE', timers_key(), '-inf', NOW, 'LIMIT', 0, LOOK_AT)
  for _, member in ipairs(due) do look_at_member(member) end
  due = redis.call('ZRANGEBYSCORE', deadlines_key(), '-inf', NOW, 'LIMIT', 0, LOOK_AT)
  for _, id in ipairs(due) do
    if is_damaged(id) then bury(id) end
  end
end

local function look_at_open_jobs(place)
  local ids = redis.call('ZRANGE', PREFIX .. ':jobs:open', place, place + LOOK_AT - 1)
  for _, id in ipairs(ids) do
    if is_damaged(id) then bury(id) end
  end
  -- Those that were ended have left the list.
  if #ids == LOOK_AT then next_place = place + LOOK_AT - #buried end
end

if mode == 'job' then
  bury(asked)
elseif mode == 'suspect' then
  if kind_of(job_key(asked)) ~= 'none' and is_damaged(asked) then bury(asked) end
elseif mode == 'next' then
  look_at_what_is_next()
else
  look_at_open_jobs(tonumber(asked))
end
return {next_place, unpack(buried)}
