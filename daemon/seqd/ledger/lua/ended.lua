-- Return which of some jobs have ended, and the results of those that were one unit.
--
-- ARGV: prefix, then the jobs.
-- Keys: job hash, out, and those of end_job.lua.
-- Returns: for each job {state, blob of results}, with '' for the state of a job that is not kept, and
--          '' for the blob of one that has not completed, has more than one row of results, or would
--          make the reply too large.
-- Guarantee: jobs whose time has run out are ended on the way, so many as one call may end; nothing else
-- changes.
local rows, room = {}, 4 * 1024 * 1024  -- bytes of results
for i = 2, #ARGV do
  local id = ARGV[i]
  local key = job_key(id)
  -- The results of most small jobs come with the rest: reading them alone took 3 of 9 us.
  local job = redis.call('HMGET', key, 'state', 'units', 'expires_at', 'template', 'group',
    RESULTS_FIELDS[1], RESULTS_FIELDS[2], RESULTS_FIELDS[3])
  local state, blob = job[1] or '', ''
  if job[3] and is_open(state) and tonumber(job[3]) <= NOW and expire_job(id) then state = 'expired' end
  if is_small({state = state, template = job[4], group = job[5]}) then
    blob = job[8] and results_of_small(key) or (job[6] or '') .. (job[7] or '')
    room = room - #blob
  elseif state == 'completed' and job[2] == '1' then
    local first = redis.call('HMGET', key .. ':out', row_name('0', 0), row_name('0', 1))
    if first[1] and not first[2] and #first[1] <= room then blob = first[1] end
    room = room - #blob
  end
  rows[#rows + 1] = {state, blob}
end
return rows
