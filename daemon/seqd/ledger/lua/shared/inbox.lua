-- The inbox: an entry is removed in the step that answers it, so each gets one answer.
--
-- Shared by all scripts. Removing comes first, so that a full Redis lets the rest go on, and what is
-- kept of answers and rejections is bounded by their number.
local INBOX_GROUP = 'workers'
local ANSWERS_KEPT, ANSWERS_TTL_S = 10000, 86400
-- Rejections whose events are kept, 1.3 KB each, and how many of the oldest one call removes.
local REJECTIONS_KEPT, REJECTIONS_KEPT_WHEN_SHORT, REMOVED_AT_ONCE = 10000, 1000, 8
-- What a job of one short text takes in Redis beside its input: 4.7 KB were measured on Redis 6.2.
local JOB_BYTES = 5000

local function inbox_key() return PREFIX .. ':inbox' end

-- Remove an entry; false when that was done before, by whoever has answered it.
local function remove_entry(entry)
  redis.call('XACK', inbox_key(), INBOX_GROUP, entry)
  return redis.call('XDEL', inbox_key(), entry) == 1
end

-- The entry that becomes the job of this call: {id, bytes}; nil where a client submits.
local taken_entry

-- True when the job takes no more of a Redis short of memory than its entry has taken.
local function entry_makes_room(input)
  return taken_entry ~= nil and taken_entry.bytes >= JOB_BYTES + #input
end

-- Remove the entry before its job is written; false when it was answered before.
local function remove_taken_entry()
  return not taken_entry or remove_entry(taken_entry.id)
end

-- The stream id of the answer to an entry, which is always behind the entry's own: so a producer finds
-- the answer by reading the answers behind the id of its entry.
local function answer_id(entry)
  local ms, number = string.match(entry, '^(%d+)-(%d+)$')
  ms, number = tonumber(ms), tonumber(number)
  local is_ahead = ms >= NOW and ms < 2 ^ 53 and number < 2 ^ 53 - 1
  return is_ahead and string.format('%.0f-%.0f', ms, number + 1) or '*'
end

local function add_answer(entry, answer)
  local key = PREFIX .. ':inbox:answers'
  local function add(id)
    return redis.pcall('XADD', key, 'MAXLEN', '~', ANSWERS_KEPT, id, 'a', answer)
  end
  local reply = add(answer_id(entry))
  -- Refused where a later answer stands there already: behind that, this one is late enough.
  if type(reply) == 'table' and reply.err then add('*') end
  redis.call('EXPIRE', key, ANSWERS_TTL_S)
end

-- Forget the oldest rejections beyond those that may be kept; fewer when memory is short.
local function trim_rejections(key)
  local most = memory_is_short() and REJECTIONS_KEPT_WHEN_SHORT or REJECTIONS_KEPT
  for _ = 1, math.min(redis.call('LLEN', key) + 1 - most, REMOVED_AT_ONCE) do
    local id = redis.call('LPOP', key)
    -- Of a job that was accepted later under that identifier, the events are the job's.
    if redis.call('EXISTS', job_key(id)) == 0 then redis.call('UNLINK', job_key(id) .. ':events') end
  end
end

-- Add a `rejected` event to the stream of an identifier that no job has, in place of an earlier one.
-- `existing` is the job that the request's idempotency key stands for, '' for none.
local function reject(id, failure, existing, ttl_s)
  if redis.call('EXISTS', job_key(id)) == 1 then return end
  local key, events = PREFIX .. ':inbox:rejections', job_key(id) .. ':events'
  trim_rejections(key)
  redis.call('UNLINK', events)
  local body = '"failure":' .. failure
  if existing ~= '' then body = body .. ',"existing_job_id":"' .. existing .. '"' end
  emit(id, 'rejected', body, false)
  redis.call('EXPIRE', events, ttl_s)
  redis.call('RPUSH', key, id)
  redis.call('EXPIRE', key, ANSWERS_TTL_S)
end

-- The answer to an entry that the scripts refuse by themselves; `id` is nil where no job may have it.
local function rejection_as_json(entry, id, failure)
  return string.format('{"entry":"%s",%s"outcome":"rejected","failure":%s}',
    entry, id and '"id":"' .. id .. '",' or '', failure)
end
