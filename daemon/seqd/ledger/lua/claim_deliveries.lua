-- Take messages that are due, each under a lease.
--
-- ARGV: prefix, milliseconds of the lease, most messages, most of one endpoint, endpoints that the caller is
--       sending to.
-- Keys: webhooks, webhooks:due; webhook, its due, failed and messages.
-- Returns: for each message {record of the webhook, job, end of the lease, attempts that failed, message}.
-- Guarantee: of a job one message is sent at a time, its first. When the lease has run out anybody may take it
-- again. An endpoint that took the last message gets several at once, any other one at a time. It holds when Redis
-- is full.
local lease_ms, most, most_each, busy, found = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), {}, {}
for i = 5, #ARGV do busy[ARGV[i]] = true end

local function forget_failed(key)
  local past = redis.call('ZRANGEBYSCORE', key .. ':failed', '-inf', NOW - FAILED_KEPT_MS, 'LIMIT', 0, FAILED_AT_ONCE)
  if #past == 0 then return end
  redis.call('ZREM', key .. ':failed', unpack(past))
  redis.call('HDEL', key .. ':messages', unpack(past))
end

local function claim(webhook, record)
  local key, lease = webhook_key(webhook), NOW + lease_ms
  redis.call('ZREM', webhooks_due_key(), webhook)  -- first: a full Redis lets only such a script go on
  forget_failed(key)
  local at_once = redis.call('HEXISTS', key, 'error') == 1 and 1 or most_each
  local due = redis.call('ZRANGEBYSCORE', key .. ':due', '-inf', NOW, 'LIMIT', 0, math.min(at_once, most - #found))
  for _, id in ipairs(due) do
    local waiting = redis.call('HGET', key .. ':messages', id) or ''
    local attempts, message = string.match(waiting, '^(%d+)\n([^\n]*)')
    if attempts then
      redis.call('ZADD', key .. ':due', lease, id)
      found[#found + 1] = {record, id, lease, tonumber(attempts), message}
    else
      redis.call('ZREM', key .. ':due', id)
    end
  end
  schedule_webhook(webhook)
end

for _, webhook in ipairs(redis.call('ZRANGEBYSCORE', webhooks_due_key(), '-inf', NOW, 'LIMIT', 0, most + #ARGV)) do
  if #found == most then break end
  if not busy[webhook] then
    local record = redis.call('HGET', PREFIX .. ':webhooks', webhook)
    if record then claim(webhook, record) else forget_webhook(webhook) end
  end
end
return found
