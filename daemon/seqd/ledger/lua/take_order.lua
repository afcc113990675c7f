-- Take an open order, or keep it: one worker at a time carries it out.
--
-- ARGV: prefix, order, worker, milliseconds of the lease, milliseconds for which it stays open after that.
-- Keys: model order, model orders.
-- Returns: 1 when the worker holds the order, 2 when it has taken it over from one that was silent for too
--          long; else 0: it is another's, answered, cancelled or expired.
-- Guarantee: one worker holds it, no longer than the lease after its last call. An order that was taken
-- stays open for a while after the lease, so that another worker carries on where one has died.
local id, worker, lease_ms, open_ms = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local key, open = PREFIX .. ':model_order:' .. id, PREFIX .. ':model_orders'
local row = redis.call('HMGET', key, 'order', 'answer', 'worker', 'lease')
if not row[1] or row[2] then
  redis.call('ZREM', open, id)
  return 0
end
if row[3] and row[3] ~= worker and (tonumber(row[4]) or 0) > NOW then return 0 end
redis.call('HSET', key, 'worker', worker, 'lease', NOW + lease_ms)
redis.call('PEXPIRE', key, lease_ms + open_ms)
redis.call('ZADD', open, NOW + lease_ms + open_ms, id)
return row[3] and row[3] ~= worker and 2 or 1
