-- Pause a model, disable it, or let its jobs go on.
--
-- ARGV: prefix, most models that may be paused, the model, the rule as JSON, '' to remove it.
-- Keys: paused models.
-- Returns: {how many models are paused afterwards, the rule before, '' for none}; {-1, how many there would be}
--          where they are too many; {-2, the rule} where the model is disabled, and is to be paused.
-- Guarantee: no claim hands out a unit of the model's items from this call on, whatever worker of this release
-- or a later one asks, until the rule is removed; of a disabled one no job is taken either. Sent twice it
-- changes nothing more.
local key, most, model, rule = paused_models_key(), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local before = redis.call('HGET', key, model)
local function disables(text)
  return text and string.find(text, '"disabled":true', 1, true) ~= nil
end
local count = redis.call('HLEN', key)
if rule == '' then
  if before then redis.call('HDEL', key, model) end
  return {before and count - 1 or count, before or ''}
end
-- In the place of the rule that stands, a pause would let the model take new jobs again.
if disables(before) and not disables(rule) then return {-2, before} end
if not before then count = count + 1 end
if count > most then return {-1, count} end
redis.call('HSET', key, model, rule)
return {count, before or ''}
