-- Return the routes of those queues that have claimable units, where no wakeup waits.
--
-- ARGV: prefix, then the queues.
-- Keys: queue, wakeup.
-- Returns: the routes.
-- Guarantee: nothing changes.
return routes_to_notify(2)
