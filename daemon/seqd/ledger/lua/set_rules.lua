-- Set and remove rules of operators, on workers or on models, and keys of the gateway.
--
-- ARGV: prefix, `cordons`, `placements`, `paused_models` or `api_keys`, its field that counts the changes ('' for
--       none), most rules that may stand, then for each rule its field and its JSON, '' to remove it.
-- Keys: cordons, placements, paused models, API keys, notices.
-- Returns: {how many stand afterwards, the fields that were changed or removed}; {-1, how many there
--          would be} where they are too many.
-- Guarantee: all of them or none. The field that counts grows by one in each call that changes something, so that
-- a worker that has seen a version knows all rules of it. Sent twice it changes nothing more.
local key, version, most = PREFIX .. ':' .. ARGV[2], ARGV[3], tonumber(ARGV[4])
local changed, count = {}, redis.call('HLEN', key) - redis.call('HEXISTS', key, version)
for i = 5, #ARGV, 2 do
  local before = redis.call('HGET', key, ARGV[i])
  if ARGV[i + 1] == '' and before then
    count = count - 1
    changed[#changed + 1] = i
  elseif ARGV[i + 1] ~= '' and before ~= ARGV[i + 1] then
    if not before then count = count + 1 end
    changed[#changed + 1] = i
  end
end
if count > most then return {-1, count} end
local reply = {count}
for _, i in ipairs(changed) do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', key, ARGV[i])
  else
    redis.call('HSET', key, ARGV[i], ARGV[i + 1])
  end
  reply[#reply + 1] = ARGV[i]
end
if #changed > 0 and version ~= '' then
  redis.call('HINCRBY', key, version, 1)
  give_notice()
end
return reply
