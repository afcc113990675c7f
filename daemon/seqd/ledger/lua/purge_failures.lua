-- Remove dead letters.
--
-- ARGV: prefix, their ids in the stream, at most 500.
-- Keys: failures, failures:replayed.
-- Returns: how many there were.
-- Guarantee: jobs and their results stay as they are. One that is gone already is no error.
local ids = {unpack(ARGV, 2)}
if #ids == 0 then return 0 end
redis.call('HDEL', replayed_key(), unpack(ids))
return redis.call('XDEL', failures_key(), unpack(ids))
