-- Answer a request from the inbox that cannot become a job.
--
-- ARGV: prefix, job, failure as JSON, seconds to keep the refusal.
-- Keys: job hash, events.
-- Returns: 1, or 0 when a job runs under that identifier, whose stream is left alone.
-- Guarantee: the refusal is in the event stream that the producer reads.
local id, failure, ttl = ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', job_key(id)) == 1 then return 0 end
emit(id, 'rejected', '"failure":' .. failure, true)
redis.call('EXPIRE', job_key(id) .. ':events', ttl)
return 1
