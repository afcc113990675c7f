-- A job's counts and events.
--
-- Shared by all scripts. The streams are bounded; the truth is the job's hash. Of a job's stream the
-- newest entries are kept as they came. Of those before them, what tells how far the job was is removed,
-- and the rest is kept up to a number: a training has two events a second that are worthless with the next
-- one, and an epoch once in a while, which who comes late has to see.
local EVENTS_KEPT, LASTING_KEPT, ALL_EVENTS_KEPT = 1000, 1000, 10000
-- A limit that no job should come to: whoever adds events without `trim_events` is bounded, too.
local MOST_EVENTS = 3000
local PROGRESS_EVERY_MS = 250

local function with_processing(n)
  n[6] = n[1] - n[2] - n[3] - n[4] - n[5]
  return n
end

local function counts(key)
  local row = redis.call('HMGET', key, 'total', 'succeeded', 'errored', 'cancelled', 'expired')
  local n = {}
  for i = 1, 5 do n[i] = tonumber(row[i] or '0') end
  return with_processing(n)
end

-- The same, of a job that was read.
local function counts_of(job)
  return with_processing({tonumber(job.total), tonumber(job.succeeded), tonumber(job.errored),
    tonumber(job.cancelled), tonumber(job.expired)})
end

local function counts_as_json(n)
  return string.format(
    '"counts":{"total":%d,"succeeded":%d,"errored":%d,"cancelled":%d,"expired":%d,"processing":%d}',
    n[1], n[2], n[3], n[4], n[5], n[6])
end

local function counts_json(key) return counts_as_json(counts(key)) end

-- Add an event to the job's stream; returns its id. `body` is JSON without braces, '' for none. One of the job as a
-- whole names its tenant, whose webhooks are told.
local function emit(id, name, body, state_changed, tenant)
  local head = string.format(
    '{"event":"%s","job_id":"%s","at_ms":%s', name, id, NOW_TEXT)
  local event = head .. (body == '' and '' or ',' .. body) .. '}'
  local event_id = redis.call('XADD', job_key(id) .. ':events', 'MAXLEN', '~', MOST_EVENTS, '*', 'e',
    event)
  if state_changed and deferred then  -- trimmed once, by `finish_batch`
    redis.call('XADD', PREFIX .. ':events', '*', 'e', event)
  elseif state_changed then
    redis.call('XADD', PREFIX .. ':events', 'MAXLEN', '~', ALL_EVENTS_KEPT, '*', 'e', event)
  end
  if tenant then tell_webhooks(id, tenant, name, '{"id":"' .. event_id .. '",' .. string.sub(event, 2)) end
  return event_id
end

-- Remove what need not be kept of a job's stream, a few entries in each call. Each entry is looked at once:
-- `trimmed` of the job's hash says "LOOKED LASTING GONE", the id of the last one that was looked at, how
-- many were left up to it, and the id of the last one that was removed ('0-0' for none), which tells a
-- reader that it has missed something.
local IS_PASSING = {progress = true, step = true}
local TRIMMED_AT_ONCE = 16
local function trim_events(key)
  local stream = key .. ':events'
  local length = redis.call('XLEN', stream)
  if length < EVENTS_KEPT + TRIMMED_AT_ONCE then return end
  local trimmed = redis.call('HGET', key, 'trimmed') or ''
  local looked, count, gone = string.match(trimmed, '^(%d+%-%d+) (%d+) (%d+%-%d+)$')
  local lasting, passing = tonumber(count or '0'), {}
  if length - lasting < EVENTS_KEPT + TRIMMED_AT_ONCE then return end
  local rows = redis.call('XRANGE', stream, looked and '(' .. looked or '-', '+', 'COUNT', TRIMMED_AT_ONCE)
  for _, row in ipairs(rows) do
    looked = row[1]
    -- No text has this in it: a quotation mark within one is escaped.
    local name = string.match(row[2][2], '"event":"(%a+)"')
    if IS_PASSING[name] then passing[#passing + 1] = looked else lasting = lasting + 1 end
  end
  if #passing > 0 then
    redis.call('XDEL', stream, unpack(passing))
    gone = passing[#passing]
  end
  if lasting > LASTING_KEPT then
    redis.call('XTRIM', stream, 'MAXLEN', length - #passing - (lasting - LASTING_KEPT))
    lasting = LASTING_KEPT
  end
  redis.call('HSET', key, 'trimmed', string.format('%s %d %s', looked, lasting, gone or '0-0'))
end
