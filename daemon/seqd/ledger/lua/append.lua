-- Add the next unit to a job whose input is still open.
--
-- ARGV: prefix, job, unit number, blob, its number of items, most bytes that may wait, digest of
--       what the blob holds.
-- Keys: job hash, todo, in, sizes, digests, uploads, those of the queue, limits, memory, tenant.
-- Returns: {'added', 1 when a wakeup is due}, {'full', 0} when the workers are behind, the tenant has
--          as much waiting as it may, or memory is short: come again; {'too_large', 0} when a
--          training set would not fit, {'differs', 0} when that unit was added with other content,
--          {'behind', 0} when units before it are missing, which Redis had acknowledged and lost,
--          {'ended', 0} when the job takes no more input.
-- Guarantee: units are numbered without gaps; the same number sent twice adds one unit.
local id, unit, blob, size, most = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[6])
local digest = ARGV[7]
local key = job_key(id)
local job = redis.call('HMGET', key, 'state', 'sealed', 'units', 'units_done', 'pending_bytes',
  'kind', 'tenant')
if not job[1] or not is_open(job[1]) then return {'ended', 0} end
local units = tonumber(job[3])
if unit < units then
  local known = redis.call('HGET', key .. ':digests', unit)
  return {known and known ~= digest and 'differs' or 'added', 0}
end
if job[2] == '1' then return {'ended', 0} end
if unit > units then return {'behind', 0} end
redis.call('ZADD', PREFIX .. ':uploads', 'XX', NOW, id)
if tonumber(job[5]) + #blob > most and units > tonumber(job[4]) then
  -- Nothing takes a training set out again before it is complete, so waiting would not help.
  return {job[6] == 'train' and 'too_large' or 'full', 0}
end
local items = job[6] == 'train' and 0 or tonumber(size)
if memory_is_short() or over_quota(job[7], 0, items, #blob) then return {'full', 0} end

redis.call('HSET', key .. ':in', unit, blob)
redis.call('HSET', key .. ':digests', unit, digest)
redis.call('HINCRBY', key, 'units', 1)
redis.call('HINCRBY', key, 'pending_bytes', #blob)
charge(job[7], 0, items, #blob)
-- The chunks of a training set are not work of their own: they wait for the unit `train`.
if job[6] == 'train' then return {'added', 0} end
redis.call('HSET', key .. ':sizes', unit, size)
redis.call('HINCRBY', key, 'total', size)
return {'added', needs_wakeup(make_claimable(id, unit)) and 1 or 0}
