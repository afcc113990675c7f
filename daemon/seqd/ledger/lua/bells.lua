-- Say which routes have claimable units and no bell.
--
-- ARGV: prefix, then the routes.
-- Keys: route, bell. Gives: the routes. Changes nothing.
return routes_without_bell(2)
