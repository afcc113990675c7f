-- Note the work that a slot did in some busy seconds, for the rate of a queue.
--
-- ARGV: prefix, queue, items, seconds, busy seconds after which what was noted before counts for 1/e.
-- Keys: rates.
-- Returns: 1.
-- Guarantee: RATES_KEPT queues are kept at most; for a new one the oldest of a few goes. The two sums of a
-- queue fade alike, so that their quotient is an exponential moving average by busy time. Sent twice it
-- counts twice, which changes a mean little.
local RATES_KEPT, LOOKED_AT = 1000, 16
local key, queue, items, seconds, fade_s = PREFIX .. ':rates', ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]),
  tonumber(ARGV[5])

-- "ITEMS SECONDS MILLISECONDS"
local function parts_of(row)
  local done, busy, at = string.match(row or '', '^(%S+) (%S+) (%S+)$')
  return tonumber(done) or 0, tonumber(busy) or 0, tonumber(at) or 0
end

local row = redis.call('HGET', key, queue)
if not row and redis.call('HLEN', key) >= RATES_KEPT then
  local some, oldest, oldest_at = redis.call('HRANDFIELD', key, LOOKED_AT, 'WITHVALUES'), nil, math.huge
  for i = 1, #some, 2 do
    local _, _, at = parts_of(some[i + 1])
    if at < oldest_at then oldest, oldest_at = some[i], at end
  end
  redis.call('HDEL', key, oldest)
end
local done, busy = parts_of(row)
local fading = math.exp(0 - seconds / fade_s)
redis.call('HSET', key, queue, string.format('%.6g %.6g %s', done * fading + items, busy * fading + seconds,
  NOW_TEXT))
return 1
