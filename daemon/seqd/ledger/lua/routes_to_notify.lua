-- Return the routes of those queues that have claimable units, where no wakeup waits.
--
-- ARGV: prefix, then the queues.
-- Keys: queues, queue, wakeup.
-- Returns: the routes.
-- Guarantee: nothing changes.
local queues = {}
for _, priority in ipairs(PRIORITIES) do
  for _, queue in ipairs(claimable_queues(priority, 2)) do queues[#queues + 1] = queue end
end
return routes_to_notify(queues)
