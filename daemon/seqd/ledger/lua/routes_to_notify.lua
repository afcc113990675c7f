-- Return the routes that have claimable units and no wakeup in their queue.
--
-- ARGV: prefix, then the routes.
-- Keys: route, wakeup.
-- Returns: the routes.
-- Guarantee: nothing changes.
return routes_to_notify(2)
