-- Answer an entry of the inbox that makes no job.
--
-- ARGV: prefix, entry's stream id, the answer as JSON, then of a rejection its identifier ('' when no
--       job may have it), the failure as JSON, the job that its key stands for ('' for none), seconds
--       to keep the rejection.
-- Keys: inbox, its answers, its rejections, job hash, events, memory, limits.
-- Returns: 1, or 0 when the entry was answered before.
-- Guarantee: an entry gets one answer, and leaves the inbox in the same step; also on a full Redis. A
-- rejection is in the event stream of its identifier too, unless a job has it, whose stream is left alone.
local entry, answer, id, failure, existing, ttl_s = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
if not remove_entry(entry) then return 0 end
if id and id ~= '' then reject(id, failure, existing, ttl_s) end
add_answer(entry, answer)
return 1
