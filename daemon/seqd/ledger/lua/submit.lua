-- Accept a job, whole or not at all.
--
-- ARGV: prefix, job, digest of the request, idempotency key ('' for none), first unit's blob
--       ('' for none), its number of items, first unit's name ('' for none), sealed (0 or 1), the
--       ended job that it goes on from ('' for none), then field and value pairs of the job's hash.
-- Keys: job hash, todo, in, sizes, events, jobs, jobs:open, uploads, idempotency, route, group,
--       turn, limits, memory, tenant, deadlines, warnings; hash and in of the job that ended.
-- Gives: {'created', job, 1 when a bell is due}; {'exists', job, digest of what exists};
--        {'refused', 'memory'}; {'refused', 'tenant_jobs' or _items or _bytes, waiting, allowed};
--        {'refused', 'continues', state of the ended job or '', the job that goes on from it or ''};
--        {'refused', 'incomplete'} when the ended training's upload never was, or is gone.
-- Guarantee: sent twice (a lost reply, a second producer) it makes one job; the second caller
-- gets the first one's identifier and digest, also when a new job would be refused. An
-- idempotency key lives as long as its job. One job at most goes on from an ended one. A job that
-- is sealed without a unit has nothing to wait for and is completed at once.
local id, digest, idempotency = ARGV[2], ARGV[3], ARGV[4]
local blob, size, unit, sealed, continues = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8], ARGV[9]

if idempotency ~= '' then
  local known = redis.call('GET', idempotency)
  if known and redis.call('EXISTS', job_key(known)) == 1 then
    return {'exists', known, redis.call('HGET', job_key(known), 'digest')}
  end
end
local key = job_key(id)
if redis.call('EXISTS', key) == 1 then
  return {'exists', id, redis.call('HGET', key, 'digest')}
end

local given = {}
for i = 10, #ARGV, 2 do given[ARGV[i]] = ARGV[i + 1] end
if memory_is_short() then return {'refused', 'memory'} end
local over = over_quota(given['tenant'], 1, size, #blob)
if over then return {'refused', over[1], over[2], over[3]} end

local inherited = 0  -- bytes of input
if continues ~= '' then
  local ended = redis.call('HMGET', job_key(continues), 'state', 'continued_by')
  local other = ended[2]
  if other and redis.call('EXISTS', job_key(other)) == 0 then other = false end
  local is_unfit = not ended[1] or is_open(ended[1])
    or (given['kind'] == 'train' and ended[1] == 'completed')
  if is_unfit or other then
    return {'refused', 'continues', ended[1] or '', other or ''}
  end
  -- The chunks that a client uploaded for a training, which nobody need upload again.
  if given['inherits'] then
    if redis.call('HGET', job_key(continues), 'sealed') ~= '1'
        or redis.call('COPY', job_key(continues) .. ':in', key .. ':in') == 0 then
      return {'refused', 'incomplete'}
    end
    redis.call('PERSIST', key .. ':in')
    inherited = tonumber(redis.call('HGET', job_key(continues), 'pending_bytes'))
  end
  redis.call('HSET', job_key(continues), 'continued_by', id)
end

local fields = {}
for i = 10, #ARGV do fields[#fields + 1] = ARGV[i] end
local most_units = limit('job_units')
if given['max_units'] or most_units then
  local wanted = math.min(tonumber(given['max_units'] or most_units), most_units or math.huge)
  fields[#fields + 1], fields[#fields + 2] = 'max_units', wanted
end
if given['expires_in'] then
  local span_ms = tonumber(given['expires_in']) * 1000
  fields[#fields + 1], fields[#fields + 2] = 'expires_at', string.format('%.0f', NOW + span_ms)
  redis.call('ZADD', deadlines_key(), NOW + span_ms, id)
  warn_before(id, 'job', NOW + span_ms, span_ms)
end
redis.call('HSET', key, 'digest', digest, 'state', 'queued', 'created', NOW, 'sealed', sealed,
  'units', 0, 'units_done', 0, 'total', 0, 'succeeded', 0, 'errored', 0, 'cancelled', 0,
  'expired', 0, 'pending_bytes', 0, unpack(fields))
if idempotency ~= '' then
  redis.call('SET', idempotency, id)
  redis.call('HSET', key, 'idempotency', idempotency)
end
-- A rejected request may have left its answer here. It is terminal: who reads the stream from
-- its start would take it for the end of this job.
redis.call('DEL', key .. ':events')
redis.call('ZADD', PREFIX .. ':jobs', NOW, id)
redis.call('ZADD', PREFIX .. ':jobs:open', NOW, id)

if sealed == '0' and unit ~= 'intake' then redis.call('ZADD', PREFIX .. ':uploads', NOW, id) end

local due = 0
if unit == '' or unit == 'intake' then
  charge(given['tenant'], 1, 0, 0)
else
  charge(given['tenant'], 1, size, #blob + inherited)
  redis.call('HSET', key, 'units', 1, 'total', size, 'pending_bytes', #blob + inherited)
  redis.call('HSET', key .. ':sizes', unit, size)
end
if unit ~= '' then
  if blob ~= '' then redis.call('HSET', key .. ':in', unit, blob) end
  if needs_bell(make_claimable(id, unit)) then due = 1 end
end
emit(id, 'queued', counts_json(key), true)
complete_if_done(id)
return {'created', id, due}
