-- Write down what came of a message that was sent.
--
-- ARGV: prefix, webhook, job, end of the lease, what went wrong ('' where it was taken), milliseconds until it is
--       sent again ('' for never).
-- Keys: webhooks:due; webhook, its due, failed and messages.
-- Returns: 1; 0 where the lease was not held any more, and nothing was changed.
-- Guarantee: the job's next message is sent only behind one that was taken. What failed for good stays with all
-- behind it, for a week, to be replayed. It holds when Redis is full.
local webhook, id, failure, delay_ms = ARGV[2], ARGV[3], ARGV[5], tonumber(ARGV[6])
local key = webhook_key(webhook)
local lease = redis.call('ZSCORE', key .. ':due', id)
if not lease or tonumber(lease) ~= tonumber(ARGV[4]) then return 0 end
local waiting = redis.call('HGET', key .. ':messages', id) or ''
local attempts, others = string.match(waiting, '^(%d+)\n[^\n]*(.*)$')
redis.call('ZREM', key .. ':due', id)  -- first: a full Redis lets only such a script go on
if failure == '' then
  redis.call('HDEL', key .. ':messages', id)
  redis.call('HDEL', key, 'error', 'error_at')
  redis.call('HINCRBY', key, 'delivered', 1)
  if others and others ~= '' then
    redis.call('HSET', key .. ':messages', id, '0' .. others)
    redis.call('ZADD', key .. ':due', NOW, id)
  end
else
  redis.call('HSET', key, 'error', failure, 'error_at', NOW_TEXT)
  if delay_ms and attempts then
    redis.call('HSET', key .. ':messages', id, (string.gsub(waiting, '^%d+', attempts + 1)))
    redis.call('ZADD', key .. ':due', NOW + delay_ms, id)
  elseif attempts then
    redis.call('ZADD', key .. ':failed', NOW, id)
  end
end
schedule_webhook(webhook)
return 1
