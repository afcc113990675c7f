-- Publish a worker's event, if the worker still holds the unit that it is about.
--
-- ARGV: prefix, job, unit, attempt, event as JSON with "at_ms":0, a token that no other event has.
-- Keys: job hash, leases, events.
-- Returns: 1, or 0 when the attempt is not current and nothing was published.
-- Guarantee: the stream is bounded; epochs, samples and others that last are kept beyond steps, the
-- newest 1,000 at least. A worker that lost its lease cannot publish for the job any more. Sent twice (a lost
-- reply) it publishes once.
local id, unit, attempt, event, token = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local key = job_key(id)
if lease_of(key, unit) ~= attempt then return 0 end
if redis.call('HGET', key, 'published') == token then return 1 end
-- The first match is the field itself: only bounded identifiers stand before it.
local stamped = string.gsub(event, '"at_ms":0', '"at_ms":' .. string.format('%.0f', NOW), 1)
redis.call('XADD', key .. ':events', 'MAXLEN', '~', MOST_EVENTS, '*', 'e', stamped)
redis.call('HSET', key, 'published', token)
trim_events(key)
return 1
