-- Write an order of an operator's client for a change of a model.
--
-- ARGV: prefix, order, its JSON, milliseconds for which it waits for a worker, most open orders.
-- Keys: model order, model orders, notices.
-- Returns: 1; 0 where as many orders are open as may, and nothing was written.
-- Guarantee: an order that no worker takes in time is gone without a trace. Sent twice it is one order.
local id, wait_ms = ARGV[2], tonumber(ARGV[4])
local key, open = PREFIX .. ':model_order:' .. id, PREFIX .. ':model_orders'
if redis.call('EXISTS', key) == 1 then return 1 end
redis.call('ZREMRANGEBYSCORE', open, '-inf', NOW)
if redis.call('ZCARD', open) >= tonumber(ARGV[5]) then return 0 end
redis.call('HSET', key, 'order', ARGV[3])
redis.call('PEXPIRE', key, wait_ms)
redis.call('ZADD', open, NOW + wait_ms, id)
give_notice()
return 1
