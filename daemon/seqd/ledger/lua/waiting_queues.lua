-- Say which of some queues have claimable units, and when each was served last.
--
-- ARGV: prefix, then the queues.
-- Keys: queues, virtual times.
-- Returns: {queue, mark, queue, mark, ...} of those that have claimable units. The mark changes when
--          anybody claims from the queue.
-- Guarantee: nothing changes. Its work is bounded by the number of queues that are asked for.
local marks, order = {}, {}
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
    end
  end
end
local reply = {}
for _, name in ipairs(order) do reply[#reply + 1], reply[#reply + 2] = name, marks[name] end
return reply
