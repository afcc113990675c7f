-- Accept a job, whole or not at all.
--
-- ARGV: prefix, job, digest of the request, idempotency key ('' for none), first unit's blob
--       ('' for none), its number of items, first unit's name ('' for none), sealed (0 or 1),
--       then field and value pairs of the job's hash.
-- Keys: job hash, todo, in, sizes, events, jobs, jobs:open, uploads, idempotency, route, group, turn.
-- Gives: {'created', job, 1 when a bell is due} or {'exists', job, digest of what exists}.
-- Guarantee: sent twice (a lost reply, a second producer) it makes one job; the second caller
-- gets the first one's identifier and digest. An idempotency key lives as long as its job. A
-- job that is sealed without a unit has nothing to wait for and is completed at once.
local id, digest, idempotency = ARGV[2], ARGV[3], ARGV[4]
local blob, size, unit, sealed = ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]

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

local fields = {}
for i = 9, #ARGV do fields[#fields + 1] = ARGV[i] end
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
if unit ~= '' then
  if unit ~= 'intake' then
    redis.call('HSET', key, 'units', 1, 'total', size, 'pending_bytes', #blob)
    redis.call('HSET', key .. ':sizes', unit, size)
  end
  if blob ~= '' then redis.call('HSET', key .. ':in', unit, blob) end
  if needs_bell(make_claimable(id, unit)) then due = 1 end
end
emit(id, 'queued', counts_json(key), true)
complete_if_done(id)
return {'created', id, due}
