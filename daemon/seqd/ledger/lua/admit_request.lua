-- Say whether a request to the gateway is served, by the key that it shows.
--
-- ARGV: prefix, SHA-256 of the key's secret in hex ('' of a request without a key).
-- Keys: API keys, when they were used, rate of the key.
-- Returns: {outcome, record of the key, whole requests that it has left of its minute, ms until it has all of
--          them again, ms until it has one}; the outcome is `open` where no key was ever made, `unknown`,
--          `expired`, `limited` or `admitted`. The record comes with the last three, the numbers with the last
--          two of a key with a rate.
-- Guarantee: a request counts once, and none that is refused does. A key's minute is the same for all gateways,
-- by the server's clock; one that steps back makes nobody wait longer than a minute. Where the server has no
-- memory left, requests are served uncounted.
local MINUTE_MS = 60000
local keys = PREFIX .. ':api_keys'
if redis.call('EXISTS', keys) == 0 then return {'open'} end
local record = redis.call('HGET', keys, ARGV[2])
if not record then return {'unknown'} end
local key = cjson.decode(record)
if key.expires_at_ms and key.expires_at_ms <= NOW then return {'expired', record} end
local used = tonumber(redis.call('HGET', keys .. ':used', key.id)) or 0
if math.abs(NOW - used) >= MINUTE_MS then redis.pcall('HSET', keys .. ':used', key.id, NOW_TEXT) end
if not key.requests_per_minute then return {'admitted', record} end

-- One number says all: when the key has its whole minute again. Each request puts it off by its part. Of a sum
-- of parts a double is off by far less than the hundredth that is left to each.
local part_ms, rate = MINUTE_MS / key.requests_per_minute, PREFIX .. ':api_key_rate:' .. key.id
local whole_at = math.max(NOW, math.min(tonumber(redis.call('GET', rate)) or NOW, NOW + MINUTE_MS))
local wait_ms = math.ceil(whole_at + part_ms - NOW - MINUTE_MS - 0.01)
local outcome = wait_ms > 0 and 'limited' or 'admitted'
if outcome == 'admitted' then
  whole_at = whole_at + part_ms
  redis.pcall('SET', rate, string.format('%.17g', whole_at), 'PX', math.ceil(whole_at - NOW))
end
local left = math.floor((MINUTE_MS - (whole_at - NOW)) / part_ms + 0.01)
return {outcome, record, math.max(0, left), math.ceil(whole_at - NOW), math.max(0, wait_ms)}
