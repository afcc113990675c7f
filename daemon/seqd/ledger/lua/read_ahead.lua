-- Put a unit of a range where the ingest finds it when it is its turn.
--
-- ARGV: prefix, job, first unit of the range, worker, unit, blob, where it begins and ends, digests of its
--       identifiers, most bytes of the job that may wait.
-- Keys: job hash, ranges, ahead, limits, memory, tenant.
-- Returns: 'read'; 'full' when the job has as much waiting as it may, with what is read ahead, or memory is
--          short; 'lost' when the range is not the worker's any more, or the job takes no input now.
-- Guarantee: what was read ahead is no unit of the job until append.lua has made it one. Sent twice it
-- stands there once. Each unit that comes keeps the range with its worker.
local id, first, worker, unit, blob = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]
local key = job_key(id)
local job = redis.call('HMGET', key, 'state', 'sealed', 'units', 'pending_bytes', 'tenant')
if not may_claim(job[1]) or job[2] == '1' then return 'lost' end
local range = range_of(redis.call('HGET', key .. ':ranges', first))
if not range or range.worker ~= worker then return 'lost' end
range.taken_at = NOW
if unit < tonumber(job[3]) or redis.call('HEXISTS', key .. ':ahead', unit) == 1 then
  write_range(key, first, range)
  return 'read'
end
local ahead = tonumber(redis.call('HGET', key .. ':ahead', 'bytes') or '0') + #blob
if tonumber(job[4]) + ahead > tonumber(ARGV[9]) or not has_room() or over_quota(job[5], 0, 0, ahead) then
  return 'full'
end
write_range(key, first, range)
redis.call('HSET', key .. ':ahead', unit, blob, unit .. ' place', ARGV[7], unit .. ' ids', ARGV[8], 'bytes',
  ahead)
keep_ranges(key)
return 'read'
