-- Note which job tries dead letters again.
--
-- ARGV: prefix, job, the dead letters' ids in the stream, at most 500.
-- Keys: failures, failures:replayed, limits.
-- Returns: 1.
-- Guarantee: of a dead letter the last such job stands. Notes on those that are gone go as well, as soon as
-- there are more notes than dead letters: the first AT_ONCE that are met, in each call.
local AT_ONCE = 1000
local key, job = replayed_key(), ARGV[2]
for i = 3, #ARGV do redis.call('HSET', key, ARGV[i], job) end
local ttl_s = tonumber(redis.call('HGET', limits_key(), 'failures_ttl_s') or nil) or FAILURES_TTL_S
redis.call('EXPIRE', key, ttl_s)
if redis.call('HLEN', key) <= redis.call('XLEN', failures_key()) then return 1 end
for i, id in ipairs(redis.call('HSCAN', key, '0', 'COUNT', AT_ONCE)[2]) do
  local is_id = i % 2 == 1
  if is_id and #redis.call('XRANGE', failures_key(), id, id) == 0 then redis.call('HDEL', key, id) end
end
return 1
