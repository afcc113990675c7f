-- Webhooks: what happens to jobs, kept for the endpoints that are to be told.
--
-- Shared by all scripts. The step that changes a job queues its message, so none is lost while no gateway is up.
-- The messages of a job wait in order behind the first, which is tried again until it is taken; other jobs do not
-- wait for it. Of each job `messages` of an endpoint holds "ATTEMPTS\nMESSAGE\nMESSAGE…", and `due` when the first
-- is sent next. While a gateway sends it, that is the end of its lease.
local MOST_JOBS_WAITING, MOST_WAITING_BYTES = 100000, 65536
-- Milliseconds for which what nobody took stays, to be replayed.
local FAILED_KEPT_MS = 7 * 86400000
local FAILED_AT_ONCE = 100

local function webhook_key(webhook) return PREFIX .. ':webhook:' .. webhook end
local function webhooks_due_key() return PREFIX .. ':webhooks:due' end

-- The endpoints of a tenant, at most 10: what each is to be told of. Read once in a call.
local webhooks_read = {}
local function webhooks_of(tenant)
  if webhooks_read[tenant] then return webhooks_read[tenant] end
  local rows, found = redis.call('HGETALL', tenant_key(tenant) .. ':webhooks'), {}
  for i = 1, #rows, 2 do
    local wanted = cjson.decode(rows[i + 1])
    wanted.webhook = rows[i]
    found[#found + 1] = wanted
  end
  webhooks_read[tenant] = found
  return found
end

-- The name of a job's event over HTTP, as OpenAI's webhooks have it.
local function event_type(kind, name)
  if not is_one_training(kind) then return 'batch.' .. name end
  return 'fine_tuning.job.' .. (name == 'completed' and 'succeeded' or name)
end

-- True where an endpoint is told of an event of a job. Who sends an interactive job waits for it, and may send many a
-- second: only who names its note is told of it.
local function is_told(wanted, kind_of_event, notes, priority)
  if priority == 'interactive' and not next(wanted.metadata) then return false end
  for name, text in pairs(wanted.metadata) do
    if notes[name] ~= text then return false end
  end
  for _, one in ipairs(wanted.event_types) do
    if one == kind_of_event then return true end
  end
  return false
end

-- Queue a message for an endpoint as it was read. What holds for all messages of a call is asked once.
local function queue_message(wanted, id, message)
  local key = webhook_key(wanted.webhook)
  local waiting = redis.call('HGET', key .. ':messages', id)
  wanted.room = wanted.room or MOST_JOBS_WAITING - redis.call('HLEN', key .. ':messages')
  if waiting and #waiting + #message > MOST_WAITING_BYTES or not waiting and wanted.room <= 0 then
    return redis.call('HINCRBY', key, 'dropped', 1)
  end
  if not waiting then
    wanted.room = wanted.room - 1
  -- Behind one that had failed for good there is another reason to try: both are sent, in order.
  elseif redis.call('ZREM', key .. ':failed', id) == 1 then
    waiting = string.gsub(waiting, '^%d+', '0')
  end
  redis.call('HSET', key .. ':messages', id, (waiting or '0') .. '\n' .. message)
  if redis.call('ZADD', key .. ':due', 'NX', NOW, id) == 1 and not wanted.is_due then
    redis.call('ZADD', webhooks_due_key(), 'LT', NOW, wanted.webhook)
    wanted.is_due = true
  end
end

-- Queue an event of a job, JSON with its braces, for the endpoints of its tenant that are to be told of it.
local function tell_webhooks(id, tenant, name, event)
  local webhooks = webhooks_of(tenant)
  if #webhooks == 0 then return end
  local row = redis.call('HMGET', job_key(id), 'kind', 'model', 'spec', 'priority')
  local is_read, job = pcall(cjson.decode, row[3] or '')  -- of a damaged job it may be anything
  local notes = is_read and type(job) == 'table' and job.metadata or {}
  local kind_of_event, message = event_type(row[1], name), nil
  for _, wanted in ipairs(webhooks) do
    if is_told(wanted, kind_of_event, notes, row[4]) then
      message = message or string.format('{"type":"%s","kind":%s,"model":%s,"metadata":%s,"event":%s}',
        kind_of_event, cjson.encode(row[1] or ''), cjson.encode(row[2] or ''), cjson.encode(notes), event)
      queue_message(wanted, id, message)
    end
  end
end

-- Write when there is next something to do for an endpoint: to send, or to forget what failed long ago. One with
-- messages that are overdue comes behind all others that are due by now.
local function schedule_webhook(webhook)
  local key = webhook_key(webhook)
  local due = redis.call('ZRANGE', key .. ':due', 0, 0, 'WITHSCORES')[2]
  local failed = redis.call('ZRANGE', key .. ':failed', 0, 0, 'WITHSCORES')[2]
  local at = math.min(tonumber(due or math.huge), failed and failed + FAILED_KEPT_MS or math.huge)
  redis.call('ZREM', webhooks_due_key(), webhook)
  if at < math.huge then redis.call('ZADD', webhooks_due_key(), math.max(at, NOW), webhook) end
end

local function forget_webhook(webhook)
  local key = webhook_key(webhook)
  redis.call('ZREM', webhooks_due_key(), webhook)
  redis.call('UNLINK', key, key .. ':due', key .. ':failed', key .. ':messages')
end
