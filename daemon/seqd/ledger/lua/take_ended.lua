-- Return how some jobs have ended, with the results of those that were one unit, and forget them.
--
-- ARGV: prefix, 1 to cancel those that have not ended (else 0), client whose completion stream goes with
--       them ('' for none), then the jobs.
-- Keys: those of ended.lua, end_job.lua and remove.lua; completion stream, jobs:small.
-- Returns: for each job {state, blob of results, failure as JSON ('' for none)}: '' for the state of a job
--          that is not kept, and what ended.lua says of the blob.
-- Guarantee: a job that has ended is removed in the step that returns its results, with all that
-- remove.lua removes, and stands in no list. Left as it is, is one that has not ended and is not to be
-- cancelled, one that completed and whose results are not in the reply, and one that another job
-- continues. The reply may be lost, and the results with it: for whoever would rather ask again.
local cancels, client = ARGV[2] == '1', ARGV[3]
-- Where the newest small jobs are looked for in their list; one that is behind them leaves it in time.
local NEWEST = 1024

-- Take a small job off the list of those, from whose end it is seldom far.
local function take_off_list(id)
  local key = PREFIX .. ':jobs:small'
  if redis.call('LPOS', key, id, 'RANK', -1, 'MAXLEN', NEWEST) then redis.call('LREM', key, -1, id) end
end

local function take(id)
  local state, blob = ended_row(id)
  local failure = ''
  if cancels and is_open(state) then
    stop_job(id, 'cancelled', '')
    state = 'cancelled'
  end
  if state == '' or is_open(state) or (state == 'completed' and blob == '') then return {state, blob, ''} end
  local job = read_ended(id)
  if state ~= 'completed' then failure = redis.call('HGET', job_key(id), 'failure') or '' end
  if open_continuation(job) then return {state, blob, failure} end
  if is_small(job) then take_off_list(id) end
  remove_ended(id, job)
  return {state, blob, failure}
end

local rows = {}
for i = 4, #ARGV do rows[#rows + 1] = take(ARGV[i]) end
if client ~= '' then redis.call('UNLINK', completions_key(client)) end
return rows
