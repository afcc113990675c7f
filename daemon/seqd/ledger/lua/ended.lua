-- Return which of some jobs have ended, and the results of those that were one unit.
--
-- ARGV: prefix, then the jobs.
-- Keys: job hash, out, and those of end_job.lua.
-- Returns: for each job {state, blob of results}, with '' for the state of a job that is not kept, and
--          '' for the blob of one that has not completed, has more than one row of results, or would
--          make the reply too large.
-- Guarantee: jobs whose time has run out are ended on the way, so many as one call may end; nothing else
-- changes.
local rows = {}
for i = 2, #ARGV do rows[i - 1] = {ended_row(ARGV[i])} end
return rows
