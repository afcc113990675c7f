-- Release a range that its worker does not read on, for another to take it.
--
-- ARGV: prefix, job, first unit of the range, worker.
-- Keys: ranges.
-- Returns: 1, or 0 when it is not the worker's any more.
-- Guarantee: nothing of what was read is lost. That does not count as a take.
local key, first = job_key(ARGV[2]), ARGV[3]
local range = range_of(redis.call('HGET', key .. ':ranges', first))
if not range or range.worker ~= ARGV[4] then return 0 end
range.worker, range.taken_at, range.takes = '-', 0, range.takes - 1
write_range(key, first, range)
return 1
