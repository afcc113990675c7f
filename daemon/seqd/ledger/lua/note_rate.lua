-- Note the work that a slot did in some busy seconds: for the rate of a queue, and for what was done of it.
--
-- ARGV: prefix, queue, items, seconds, busy seconds after which what was noted before counts for 1/e,
--       those of the items that have errors.
-- Keys: rates, work_done.
-- Returns: 1.
-- Guarantee: RATES_KEPT queues are kept at most; for a new one the oldest of a few goes. The two sums of a
-- queue fade alike, so that their quotient is an exponential moving average by busy time. Sent twice it
-- counts twice, which changes a mean little. What was done lately fades by the clock, for all slots together.
local RATES_KEPT, LOOKED_AT = 1000, 16
-- Milliseconds after which what was done counts for 1/e, and after which a queue at rest begins anew.
local RECENT_MS = 60000
local rates_key, done_key, queue = PREFIX .. ':rates', PREFIX .. ':work_done', ARGV[2]
local items, seconds, fade_s, errors = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

-- The row of the queue. Where there is none and no room, the oldest of a few goes: a row ends with its time.
local function row_of(key)
  local row = redis.call('HGET', key, queue)
  if row or redis.call('HLEN', key) < RATES_KEPT then return row or '' end
  local some, oldest, oldest_at = redis.call('HRANDFIELD', key, LOOKED_AT, 'WITHVALUES'), nil, math.huge
  for i = 1, #some, 2 do
    local at = tonumber(string.match(some[i + 1], '(%S+)$')) or 0
    if at < oldest_at then oldest, oldest_at = some[i], at end
  end
  redis.call('HDEL', key, oldest)
  return ''
end

-- "ITEMS SECONDS MILLISECONDS"
local function note_rate()
  local done, busy = string.match(row_of(rates_key), '^(%S+) (%S+) %S+$')
  done, busy = tonumber(done) or 0, tonumber(busy) or 0
  local fading = math.exp(0 - seconds / fade_s)
  redis.call('HSET', rates_key, queue, string.format('%.6g %.6g %s', done * fading + items,
    busy * fading + seconds, NOW_TEXT))
end

-- "ITEMS ERRORS RECENT_ITEMS RECENT_ERRORS SINCE MILLISECONDS"
local function note_done()
  local parts = {}
  for part in string.gmatch(row_of(done_key), '%S+') do parts[#parts + 1] = tonumber(part) or 0 end
  if #parts ~= 6 then parts = {0, 0, 0, 0, 0, 0} end
  local rest_ms = math.max(0, NOW - parts[6])
  local fading, since = math.exp(0 - rest_ms / RECENT_MS), parts[5]
  if rest_ms > RECENT_MS then fading, since = 0, NOW - math.min(seconds * 1000, RECENT_MS) end
  redis.call('HSET', done_key, queue, string.format('%.0f %.0f %.6g %.6g %.0f %s', parts[1] + items,
    parts[2] + errors, parts[3] * fading + items, parts[4] * fading + errors, since, NOW_TEXT))
end

note_rate()
note_done()
return 1
