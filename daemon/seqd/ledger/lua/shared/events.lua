-- A job's counts, and the events that tell of them.
--
-- Shared by all scripts. The streams are bounded; the truth is the job's hash.
local EVENTS_KEPT, ALL_EVENTS_KEPT = 1000, 10000
local PROGRESS_EVERY_MS = 250

local function counts(key)
  local row = redis.call('HMGET', key, 'total', 'succeeded', 'errored', 'cancelled', 'expired')
  local n = {}
  for i = 1, 5 do n[i] = tonumber(row[i] or '0') end
  n[6] = n[1] - n[2] - n[3] - n[4] - n[5]
  return n
end

local function counts_json(key)
  local n = counts(key)
  return string.format(
    '"counts":{"total":%d,"succeeded":%d,"errored":%d,"cancelled":%d,"expired":%d,"processing":%d}',
    n[1], n[2], n[3], n[4], n[5], n[6])
end

-- Add an event to the job's stream; `body` is JSON without braces, '' for none.
local function emit(id, name, body, state_changed)
  local head = string.format(
    '{"schema_version":1,"event":"%s","job_id":"%s","at_ms":%.0f', name, id, NOW)
  local event = head .. (body == '' and '' or ',' .. body) .. '}'
  redis.call('XADD', job_key(id) .. ':events', 'MAXLEN', '~', EVENTS_KEPT, '*', 'e', event)
  if state_changed then
    redis.call('XADD', PREFIX .. ':events', 'MAXLEN', '~', ALL_EVENTS_KEPT, '*', 'e', event)
  end
end
