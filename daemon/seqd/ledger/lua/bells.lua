-- Say which routes have claimable units and no bell.
--
-- ARGV: prefix, then the routes.
-- Keys: route, bell.
-- Gives: the routes.
-- Guarantee: nothing changes.
return routes_without_bell(2)
