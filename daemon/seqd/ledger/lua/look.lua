-- Look at what a worker looks at again and again, and wake a worker of each route whose queues have claimable units.
--
-- ARGV: prefix, worker, how many models, then the models, then the queues.
-- Keys: lock, catalog, inbox, model orders, cordons, placements, queues, queue, wakeup.
-- Returns: {milliseconds of the clock, 1 where another worker reconciles, 1 where the catalog lacks one of the models,
--          entries of the inbox, open orders, what counts the changes of cordons, that of placements}.
-- Guarantee: nothing changes but the wakeups. Works when Redis is full.
local worker, first_queue = ARGV[2], 4 + ARGV[3]
local queues = {}
for _, priority in ipairs(PRIORITIES) do
  for _, queue in ipairs(claimable_queues(priority, first_queue)) do queues[#queues + 1] = queue end
end
wake_where_due(queues)
local holder = redis.call('GET', PREFIX .. ':lock:reconciler')
local lacks = 0
for i = 4, first_queue - 1 do
  if redis.call('HEXISTS', PREFIX .. ':catalog', ARGV[i]) == 0 then lacks = 1 end
end
return {NOW, holder and holder ~= worker and 1 or 0, lacks, redis.call('XLEN', inbox_key()),
  redis.call('ZCOUNT', PREFIX .. ':model_orders', '(' .. NOW, '+inf'),
  redis.call('HGET', PREFIX .. ':cordons', 'version'),
  redis.call('HGET', PREFIX .. ':placements', ':version')}
