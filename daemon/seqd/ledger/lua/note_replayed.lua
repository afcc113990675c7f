-- Note which job tries dead letters again.
--
-- ARGV: prefix, job, the dead letters' ids in the stream, at most 500.
-- Keys: failures, failures:replayed, limits.
-- Returns: 1.
-- Guarantee: of a dead letter the last such job stands. Notes on those that are gone go as well, as soon as
-- there are more notes than dead letters: of AT_ONCE in each call, any, so that their number stays bounded.
local AT_ONCE = 1000
local key, job = replayed_key(), ARGV[2]
for i = 3, #ARGV do redis.call('HSET', key, ARGV[i], job) end
redis.call('EXPIRE', key, math.ceil(tonumber(redis.call('HGET', limits_key(), 'failures_ttl_s') or FAILURES_TTL_S)))
if redis.call('HLEN', key) <= redis.call('XLEN', failures_key()) then return 1 end
-- Not by HSCAN from the start of the hash: those in its other parts would stay for ever.
for _, id in ipairs(redis.call('HRANDFIELD', key, AT_ONCE)) do
  if #redis.call('XRANGE', failures_key(), id, id) == 0 then redis.call('HDEL', key, id) end
end
return 1
