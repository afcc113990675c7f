-- Record a unit's results; the last unit's commit ends the job.
--
-- ARGV: prefix, job, unit, attempt, blob of results, succeeded, errored, fenced (0 or 1),
--       training result as JSON ('' for none), blob of the items that have errors ('' for none).
-- Keys: job hash, out, in, failed, sizes, parts, leases, todo, timers, worker leases, jobs:open,
--       uploads, idempotency, events, route, group, tenant, and those of end_job.lua.
-- Gives: 'committed', 'completed' when it ended the job, 'duplicate' when the unit was done or
--        split already, 'ended' when the job had ended, 'fenced' when the attempt is not current.
-- Guarantee: results, counts, state and events change together or not at all; the first commit
-- of a unit wins. A fenced commit counts only from the attempt that holds the lease. Results
-- that are no larger than the input they replace are taken even when Redis is full, so that work
-- in hand makes room. A part's results wait until all parts of its unit are there, and then
-- become the unit's; a unit or part that has been split since is taken from its parts alone. The
-- items that have errors are kept, to be tried again.
local id, unit, attempt, blob = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local succeeded, errored, fenced, training = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local failed = ARGV[10]
local key = job_key(id)

-- Join the results of a unit's parts when all are there: a row of zlib streams.
local function join_parts(key, parent)
  local names, blobs = {}, {}
  for name in string.gmatch(redis.call('HGET', key .. ':parts', parent), '%S+') do
    names[#names + 1] = name
    blobs[#blobs + 1] = redis.call('HGET', key .. ':out', name) or nil
  end
  if #blobs < #names then return false end
  redis.call('HSET', key .. ':out', parent, table.concat(blobs))
  -- One by one: a unit may have more parts than `unpack` can put on the stack.
  for _, name in ipairs(names) do redis.call('HDEL', key .. ':out', name) end
  redis.call('HDEL', key .. ':parts', parent)
  return true
end

local parts = redis.call('HGET', key .. ':parts', unit_of(unit))
local was_split = parts and not string.find(' ' .. parts .. ' ', ' ' .. unit .. ' ', 1, true)

local state = redis.call('HGET', key, 'state')
if was_split
    or redis.call('HEXISTS', key .. ':out', unit) == 1
    or redis.call('HEXISTS', key .. ':out', unit_of(unit)) == 1 then
  return 'duplicate'
end
if not state or not is_open(state) then return 'ended' end
if fenced == '1' and lease_of(key, unit) ~= attempt then return 'fenced' end
local size = unit == 'train' and '1' or redis.call('HGET', key .. ':sizes', unit) or 'no'
if tonumber(size) ~= succeeded + errored then
  return redis.error_reply('seqd: ' .. succeeded + errored .. ' results for unit ' .. unit ..
    ', which has ' .. size .. ' items')
end

local waiting = redis.call('HSTRLEN', key .. ':in', unit)
-- A full Redis lets a script go on that has freed something before it first adds something.
if #blob + #failed <= waiting then redis.call('HDEL', key .. ':in', unit) end
redis.call('HSET', key .. ':out', unit, blob)
if failed ~= '' then redis.call('HSET', key .. ':failed', unit, failed) end
redis.call('HDEL', key .. ':in', unit)
redis.call('ZREM', key .. ':todo', unit)
drop_lease(id, unit)
redis.call('HINCRBY', key, 'pending_bytes', 0 - waiting)
charge(redis.call('HGET', key, 'tenant'), 0, 0 - succeeded - errored, 0 - waiting)
redis.call('HINCRBY', key, 'succeeded', succeeded)
redis.call('HINCRBY', key, 'errored', errored)
if unit_of(unit) == unit or join_parts(key, unit_of(unit)) then
  redis.call('HINCRBY', key, 'units_done', 1)
end
if training ~= '' then
  redis.call('HSET', key, 'training', training)
  redis.call('DEL', key .. ':in')
end
if complete_if_done(id) then return 'completed' end

local job = redis.call('HMGET', key, 'event_at', 'started', 'sealed', 'expected')
if NOW - tonumber(job[1] or '0') >= PROGRESS_EVERY_MS then
  redis.call('HSET', key, 'event_at', NOW)
  local n = counts(key)
  local seconds = math.max(NOW - tonumber(job[2] or NOW), 1) / 1000
  local rate = (n[2] + n[3]) / seconds
  local body = counts_json(key) .. string.format(',"rate_per_s":%.3f', rate)
  -- While the input grows, only what the client expects says how much is left.
  if rate > 0 and (job[3] == '1' or job[4]) then
    local total = job[3] == '1' and n[1] or math.max(n[1], tonumber(job[4]))
    body = body .. string.format(',"eta_s":%.1f', (total - n[2] - n[3]) / rate)
  end
  emit(id, 'progress', body, false)
end
return 'committed'
