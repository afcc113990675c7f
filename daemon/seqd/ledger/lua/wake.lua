-- Wake a worker of a route, where no wakeup waits.
--
-- ARGV: prefix, route.
-- Keys: wakeup.
-- Returns: 1.
-- Guarantee: nothing else changes.
wake(ARGV[2])
return 1
