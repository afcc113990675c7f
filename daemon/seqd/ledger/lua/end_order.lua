-- End an order: by the answer of the worker that holds it, or by its client, which cancels it.
--
-- ARGV: prefix, order, worker ('' of the client), JSON of the answer ('' of the client), milliseconds for
--       which the answer is kept.
-- Keys: model order, model orders.
-- Returns: `ended`; `answered` where it has an answer; `taken` where a worker holds it, of the client, or
--          another one, of a worker; `gone` where there is no such order.
-- Guarantee: an order has one answer, the first. One that is cancelled is taken by nobody any more.
local id, worker, answer = ARGV[2], ARGV[3], ARGV[4]
local key, open = PREFIX .. ':model_order:' .. id, PREFIX .. ':model_orders'
local row = redis.call('HMGET', key, 'order', 'answer', 'worker', 'lease')
if not row[1] then return 'gone' end
if row[2] then return 'answered' end
if worker == '' then
  if (tonumber(row[4]) or 0) > NOW then return 'taken' end
  redis.call('ZREM', open, id)
  redis.call('UNLINK', key)
  return 'ended'
end
if row[3] ~= worker then return 'taken' end
redis.call('ZREM', open, id)
redis.call('HSET', key, 'answer', answer)
redis.call('PEXPIRE', key, tonumber(ARGV[5]))
return 'ended'
