-- Return how some jobs have ended, with the results of those that were one unit, and forget them where that is
-- asked for.
--
-- ARGV: prefix, `look`, `take` to forget those that have ended, or `cancel` to cancel and forget the others, too;
--       client whose completion stream goes with them ('' for none), then the jobs.
-- Keys: job hash, out, completion stream, jobs:small, and those of end_job.lua and steer.lua.
-- Returns: for each job {state, blob of results, failure as JSON of one that is forgotten}, with '' for the state of a
--          job that is not kept, for a failure that there is not, and for the blob of a job that has not completed, has
--          more than one row of results, or would make the reply too large.
-- Guarantee: jobs whose time has run out are ended on the way, so many as one call may end; who looks changes nothing
-- else. A job is forgotten in the step that returns its results, with all that it left, and stands in no
-- list. Left as it is, is one that has not ended and is not to be cancelled, one that completed and whose results are
-- not in the reply, and one that another job continues. The reply may be lost, and the results with it: for
-- whoever would rather ask again.
local action, client = ARGV[2], ARGV[3]

-- The state of a job, '' for one that is not kept, and the results of one that was one unit, '' where they
-- are more than one row or this reply has no room for them. A job whose time has run out is ended on the way.
local results_room = 4 * 1024 * 1024  -- bytes
local function row_of(id)
  local key = job_key(id)
  -- The results of most small jobs come with the rest: reading them alone took 3 of 9 us.
  local job = redis.call('HMGET', key, 'state', 'units', 'expires_at', 'template', 'group',
    RESULTS_FIELDS[1], RESULTS_FIELDS[2], RESULTS_FIELDS[3])
  local state, blob = job[1] or '', ''
  if job[3] and is_open(state) and tonumber(job[3]) <= NOW and expire_job(id) then state = 'expired' end
  if is_small({state = state, template = job[4], group = job[5]}) then
    blob = job[8] and results_of_small(key) or (job[6] or '') .. (job[7] or '')
    results_room = results_room - #blob
  elseif state == 'completed' and job[2] == '1' then
    local first = redis.call('HMGET', key .. ':out', row_name('0', 0), row_name('0', 1))
    if first[1] and not first[2] and #first[1] <= results_room then blob = first[1] end
    results_room = results_room - #blob
  end
  return state, blob
end

-- Take a small job off the list of those, from whose end it is seldom far. One that is behind the newest leaves it
-- in time.
local NEWEST = 1024
local function take_off_list(id)
  local key = PREFIX .. ':jobs:small'
  if redis.call('LPOS', key, id, 'RANK', -1, 'MAXLEN', NEWEST) then redis.call('LREM', key, -1, id) end
end

-- Forget a job that has ended in a state; returns its failure.
local function forget(id, state)
  local job, failure = read_ended(id), ''
  if state ~= 'completed' then failure = redis.call('HGET', job_key(id), 'failure') or '' end
  if open_continuation(job) then return failure end
  if is_small(job) then take_off_list(id) end
  remove_ended(id, job)
  return failure
end

local rows = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  local state, blob = row_of(id)
  if action == 'cancel' and is_open(state) then
    stop_job(id, 'cancelled', '')
    state = 'cancelled'
  end
  local is_left = action == 'look' or not has_ended(state) or (state == 'completed' and blob == '')
  rows[i - 3] = {state, blob, is_left and '' or forget(id, state)}
end
if client ~= '' then redis.call('UNLINK', completions_key(client)) end
return rows
