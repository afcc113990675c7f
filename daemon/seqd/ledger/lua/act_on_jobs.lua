-- Cancel, pause, resume or remove the jobs that match a filter, or count or find them, a bounded number in each call.
--
-- ARGV: prefix, action (cancel, pause, resume, remove; count or find, which change nothing), index (`jobs`, or
--       `jobs:open` where all that match are open), cursor ('' to begin), milliseconds since which and until
--       which they were accepted ('' for now), the filter as JSON, jobs to look at, jobs to act on, who does.
-- Keys: jobs, jobs:open, hashes of jobs, templates, and those of end_job.lua and steer.lua.
-- Returns: {cursor to go on from, '' at the end; milliseconds until which; jobs looked at; entries of the index
--          whose job is gone; jobs acted on, none of those that are counted; {job, why it was left as it is, ...};
--          {state, model, tenant and number of each kind of job that is counted, ...}}.
-- Guarantee: of each job all or nothing, as by the script for one. A job that does not match any more is left
-- alone. Sent twice it acts on none twice. Of those that are counted, each job that is there from the first
-- call to the last is counted once.
local action, index, cursor, since = ARGV[2], PREFIX .. ':' .. ARGV[3], ARGV[4], ARGV[5]
local till = ARGV[6] == '' and NOW_TEXT or ARGV[6]
local wanted, most_seen, most_acted = cjson.decode(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local refused, acted, gone, groups, place_of = {}, {}, 0, {}, {}

local function count_job(job)
  local model, tenant = job.model or '', job.tenant or ''
  local group = job.state .. ' ' .. model .. ' ' .. tenant
  local at = place_of[group]
  if not at then
    at = #groups + 4
    place_of[group], groups[at - 3], groups[at - 2], groups[at - 1], groups[at] = at, job.state, model, tenant, 0
  end
  groups[at] = groups[at] + 1
end

-- Each returns why a job was left as it is; nil where it was not.
local ACTS = {
  find = function() end,
  cancel = function(id) stop_job(id, 'cancelled', '') end,
  pause = function(id)
    local state = pause_job(id, ARGV[10])
    if state ~= 'paused' then return state end
  end,
  resume = function(id) resume_job(id) end,
  remove = function(id)
    local outcome = remove_job(id)
    if outcome ~= 'removed' then return outcome end
  end,
}

local function act(id)
  local job = filtered_row(id)
  if not job then
    gone = gone + 1
    return
  end
  if not does_match(id, job, wanted) then return end
  if action == 'count' then return count_job(job) end
  local why = ACTS[action](id)
  if why then
    refused[#refused + 1], refused[#refused + 2] = id, why
  else
    acted[#acted + 1] = id
  end
end

-- Act on jobs until as many were looked at or acted on as may be; returns the cursor to go on from.
local AT_ONCE = 50
local seen = 0
local function walk()
  while seen < most_seen do
    local rows = next_jobs(index, cursor, since, till, math.min(AT_ONCE, most_seen - seen))
    if #rows == 0 then return '' end
    for i = 1, #rows, 2 do
      if #acted + #refused / 2 >= most_acted then return cursor end
      act(rows[i])
      cursor, seen = rows[i + 1] .. ' ' .. rows[i], seen + 1
    end
  end
  return cursor
end

cursor = walk()
return {cursor, till, seen, gone, acted, refused, groups}
