-- Say which of some queues have claimable units, whether anybody claims from them, and since when the
-- next job of each waits.
--
-- ARGV: prefix, then the queues.
-- Keys: queues, queue, groups, jobs, virtual times, job hash.
-- Returns: {queue, mark, milliseconds, queue, mark, milliseconds, ...} of those that have claimable units.
--          The mark changes when anybody claims from the queue. The milliseconds are since the job was made
--          whose turn is next, 0 where that is not looked at.
-- Guarantee: nothing changes but what keys of a wrong type `read_index` deletes. It looks at the jobs of
-- MAX_JOBS queues at most.
local MAX_JOBS = 200
local looked_at = 0

-- Milliseconds since the job was made that is next in a queue.
local function wait_of_next(queue, priority)
  if looked_at == MAX_JOBS then return 0 end
  looked_at = looked_at + 1
  local tenant = read_index('ZRANGE', queue_key(queue, priority), 0, 0)[1]
  local group = tenant and read_index('ZRANGE', groups_key(queue, priority, tenant), 0, 0)[1]
  local id = group and read_index('ZRANGE', jobs_key(group, tenant), 0, 0)[1]
  local made = id and redis.pcall('HGET', job_key(id), 'created')
  made = type(made) == 'string' and tonumber(made)
  return made and math.max(0, NOW - made) or 0
end

local marks, waits, order = {}, {}, {}
for _, priority in ipairs(PRIORITIES) do
  local queues = claimable_queues(priority, 2)
  for first = 1, #queues, 500 do
    local last = math.min(first + 499, #queues)
    local members = {}
    for i = first, last do members[#members + 1] = ':' .. queues[i].name end
    local times = read_index('ZMSCORE', virtual_times_key(priority), unpack(members))
    for i = first, last do
      local name = queues[i].name
      if not marks[name] then order[#order + 1] = name end
      marks[name] = (marks[name] or '') .. priority .. '=' .. tostring(times[i - first + 1] or '') .. ' '
      waits[name] = math.max(waits[name] or 0, wait_of_next(name, priority))
    end
  end
end
local reply = {}
for _, name in ipairs(order) do
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3] = name, marks[name], waits[name]
end
return reply
