-- Wake a worker of each route whose queues have claimable units, where no wakeup waits.
--
-- ARGV: prefix, then the queues.
-- Keys: queues, queue, wakeup.
-- Returns: 1.
-- Guarantee: nothing else changes.
local queues = {}
for _, priority in ipairs(PRIORITIES) do
  for _, queue in ipairs(claimable_queues(priority, 2)) do queues[#queues + 1] = queue end
end
wake_where_due(queues)
return 1
