-- Note the server's clock. While it is behind what it has shown before, cut what lies too far ahead.
--
-- ARGV: prefix, milliseconds of a lease, of the first back-off, and of a worker's record; most timers,
--       uploads, records and entries to look at.
-- Keys: clock, timers, leases, crashes, uploads, workers, worker, inbox, memory.
-- Returns: how many times were cut; fewer than it looks at when no more are to be cut.
-- Guarantee: whatever the clock is set back by, a lease, a back-off, and the silence of an upload, of a
-- worker or of the reader of an inbox's entry last no longer from this call on than they were meant to
-- from their begin. Nothing is cut short of that, and nothing at all while the clock is not behind: a
-- worker may have longer leases than the caller. Jobs' deadlines and times to live are times of day, and
-- stay. Works when Redis is full.
local lease_ms, backoff_ms, record_ms = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local most = tonumber(ARGV[5])
local NOTE_EVERY_MS = 1000

-- How far ahead a timer can have been set: a lease, or the back-off of a unit that nobody holds.
local function longest_timer_ms(id, unit)
  local key = job_key(id)
  if lease_of(key, unit) then return lease_ms end
  local crashes = tonumber(redis.call('HGET', key .. ':crashes', unit) or '0')
  return math.max(lease_ms, back_off_of(crashes, backoff_ms))
end

-- Those that are furthest ahead first: a long back-off may rightly be ahead.
local function cut_timers()
  local ahead, cut = '(' .. string.format('%.0f', NOW + lease_ms), 0
  local rows = redis.call('ZREVRANGEBYSCORE', timers_key(), '+inf', ahead, 'WITHSCORES', 'LIMIT', 0, most)
  for i = 1, #rows, 2 do
    local id, unit = string.match(rows[i], '^(%S+) (%S+)$')
    local latest = id and NOW + longest_timer_ms(id, unit)
    if not id then
      redis.call('ZREM', timers_key(), rows[i])
      cut = cut + 1
    elseif tonumber(rows[i + 1]) > latest then
      redis.call('ZADD', timers_key(), 'XX', latest, rows[i])
      cut = cut + 1
    end
  end
  return cut
end

-- Signs of life from later than now: their silence begins now.
local function cut_uploads()
  local key = PREFIX .. ':uploads'
  local ids = redis.call('ZRANGEBYSCORE', key, '(' .. NOW_TEXT, '+inf', 'LIMIT', 0, most)
  for _, id in ipairs(ids) do redis.call('ZADD', key, 'XX', NOW, id) end
  return #ids
end

-- Records of the workers that were seen last, by a clock that was ahead.
local function cut_records()
  local cut = 0
  for _, worker in ipairs(redis.call('ZREVRANGE', PREFIX .. ':workers', 0, most - 1)) do
    local key = PREFIX .. ':worker:' .. worker
    if redis.call('PTTL', key) > record_ms then
      redis.call('PEXPIRE', key, record_ms)
      cut = cut + 1
    end
  end
  return cut
end

-- Entries of the inbox that a worker has read and not answered: Redis shows one that was read later than
-- now as idle for 0 ms. It stays with its reader; its idle time begins now.
local function cut_entries()
  local cut, rows = 0, redis.pcall('XPENDING', inbox_key(), INBOX_GROUP, '-', '+', most)
  for _, row in ipairs(rows.err and {} or rows) do
    if row[3] == 0 then
      redis.call('XCLAIM', inbox_key(), INBOX_GROUP, row[2], 0, row[1], 'IDLE', 0, 'JUSTID')
      cut = cut + 1
    end
  end
  return cut
end

-- That there is memory, which is known for a quarter of a second: else a Redis that fills up meanwhile
-- would refuse no new work.
local function cut_memory_state()
  local key = PREFIX .. ':memory'
  if redis.call('PTTL', key) > MEMORY_KNOWN_MS then redis.call('UNLINK', key) end
end

local latest = latest_noted()
if NOW >= latest then
  -- Refused by a full Redis: the note is older then, and a smaller step passes unseen.
  if NOW >= latest + NOTE_EVERY_MS then redis.pcall('SET', clock_key(), NOW_TEXT) end
  return 0
end
redis.call('ZREM', timers_key(), '')  -- first: a full Redis lets a script go on that has removed something
cut_memory_state()
return math.max(cut_timers(), cut_uploads(), cut_records(), cut_entries())
