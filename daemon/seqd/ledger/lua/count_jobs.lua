-- Count jobs that match a filter, a bounded number in each call.
--
-- ARGV: prefix, index (`jobs`, or `jobs:open` where all that match are open), cursor ('' to begin), milliseconds
--       since which and until which they were accepted ('' for now), the filter as JSON, jobs to look at.
-- Keys: jobs or jobs:open, hashes of jobs, templates.
-- Returns: {cursor to go on from, '' at the end; milliseconds until which; jobs looked at; entries of the index
--          whose job is gone; then state, model, tenant and number of each kind of job that matches}.
-- Guarantee: nothing changes. Each job that is there from the first call to the last is counted once.
local index, cursor, since = PREFIX .. ':' .. ARGV[2], ARGV[3], ARGV[4]
local till = ARGV[5] == '' and NOW_TEXT or ARGV[5]
local wanted, most = cjson.decode(ARGV[6]), tonumber(ARGV[7])
local rows = next_jobs(index, cursor, since, till, most)
local groups, order, gone = {}, {}, 0
for i = 1, #rows, 2 do
  local id = rows[i]
  local job = filtered_row(id)
  if not job then gone = gone + 1 end
  if job and does_match(id, job, wanted) then
    local model, tenant = job.model or '', job.tenant or ''
    local group = job.state .. ' ' .. model .. ' ' .. tenant
    if not groups[group] then
      groups[group] = {job.state, model, tenant, 0}
      order[#order + 1] = group
    end
    groups[group][4] = groups[group][4] + 1
  end
end
local is_last = #rows < 2 * most
local reply = {is_last and '' or rows[#rows] .. ' ' .. rows[#rows - 1], till, #rows / 2, gone}
for _, group in ipairs(order) do
  for _, part in ipairs(groups[group]) do reply[#reply + 1] = part end
end
return reply
