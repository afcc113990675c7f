-- Offer ranges of a job's file, which is being ingested, to workers that have nothing else to do.
--
-- ARGV: prefix, job, attempt of the unit `ingest`, 1 to forget all that was offered and read before, then
--       for each range its first unit, its number of units, and where it begins.
-- Keys: job hash, leases, ranges, ahead, offered ranges, wakeup.
-- Returns: 1, or 0 when the unit is not the attempt's any more.
-- Guarantee: only the attempt that holds the ingest offers. A range is never claimed like a unit, and holds
-- no job up: what nobody reads the ingest reads itself. Sent twice it offers each once.
local id, attempt = ARGV[2], tonumber(ARGV[3])
local key = job_key(id)
if lease_of(key, 'ingest') ~= attempt then return 0 end
if ARGV[4] == '1' then forget_ranges(id) end
if #ARGV == 4 then return 1 end
for i = 5, #ARGV, 3 do
  if redis.call('HEXISTS', key .. ':ranges', ARGV[i]) == 0 then
    write_range(key, ARGV[i], {units = tonumber(ARGV[i + 1]), taken_at = 0, takes = 0, worker = '-',
      position = ARGV[i + 2]})
  end
end
redis.call('ZADD', offered_key(), NOW, id)
keep_ranges(key)
wake(route_of(redis.call('HGET', key, 'queue')))
return 1
