-- Set the rule that says which workers serve a model, or remove it.
--
-- ARGV: prefix, most rules that may stand, the model, the rule as JSON, '' to remove it.
-- Keys: placements.
-- Returns: {how many rules stand afterwards, 1 when this has changed something, else 0}; {-1, how many
--          there would be} where they are too many.
-- Guarantee: `:version` grows by one in each call that changes something, so that a worker that has seen
-- a version knows all rules of it; no model can have that name. Sent twice it changes nothing more.
local key, most, model, rule = PREFIX .. ':placements', tonumber(ARGV[2]), ARGV[3], ARGV[4]
local before = redis.call('HGET', key, model)
local count = redis.call('HLEN', key) - redis.call('HEXISTS', key, ':version')
if rule == '' then
  if not before then return {count, 0} end
  redis.call('HDEL', key, model)
  count = count - 1
else
  if before == rule then return {count, 0} end
  if not before then count = count + 1 end
  if count > most then return {-1, count} end
  redis.call('HSET', key, model, rule)
end
redis.call('HINCRBY', key, ':version', 1)
return {count, 1}
