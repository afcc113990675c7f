-- A job's counts and events.
--
-- Shared by all scripts. The streams are bounded; the truth is the job's hash.
local EVENTS_KEPT, ALL_EVENTS_KEPT = 1000, 10000
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

-- Add an event to the job's stream; returns its id. `body` is JSON without braces, '' for none.
local function emit(id, name, body, state_changed)
  local head = string.format(
    '{"event":"%s","job_id":"%s","at_ms":%s', name, id, NOW_TEXT)
  local event = head .. (body == '' and '' or ',' .. body) .. '}'
  local event_id = redis.call('XADD', job_key(id) .. ':events', 'MAXLEN', '~', EVENTS_KEPT, '*', 'e',
    event)
  if state_changed and deferred_writes then  -- trimmed once, by `finish_batch`
    redis.call('XADD', PREFIX .. ':events', '*', 'e', event)
  elseif state_changed then
    redis.call('XADD', PREFIX .. ':events', 'MAXLEN', '~', ALL_EVENTS_KEPT, '*', 'e', event)
  end
  return event_id
end
