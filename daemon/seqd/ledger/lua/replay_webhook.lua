-- Send again what had failed for good.
--
-- ARGV: prefix, webhook, milliseconds since when it failed, most jobs.
-- Keys: webhooks:due; webhook, its due, failed and messages.
-- Returns: how many jobs' messages are due again.
-- Guarantee: all messages of a job in their order, each with all attempts before it.
local webhook, key, since = ARGV[2], webhook_key(ARGV[2]), ARGV[3]
local failed = redis.call('ZRANGEBYSCORE', key .. ':failed', since, '+inf', 'LIMIT', 0, tonumber(ARGV[4]))
for _, id in ipairs(failed) do
  redis.call('ZREM', key .. ':failed', id)
  local waiting = redis.call('HGET', key .. ':messages', id)
  if waiting then
    redis.call('HSET', key .. ':messages', id, (string.gsub(waiting, '^%d+', '0')))
    redis.call('ZADD', key .. ':due', NOW, id)
  end
end
schedule_webhook(webhook)
return #failed
