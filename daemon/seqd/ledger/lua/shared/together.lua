-- Writes to what jobs share: at once, or, in a call that handles many jobs, together at its end.
--
-- Shared by all scripts. Sixty-four jobs that end leave each index by one command instead of sixty-four.
-- Only what nothing in the same call reads again may wait; see `finish_together` in endings.lua.

-- Commands that wait, in the order in which they came up; nil where each is done at once.
local waiting_writes

-- Do a command that takes any number of arguments behind its key, in pairs for ZADD.
local function write_shared(command, key, ...)
  if not waiting_writes then return redis.call(command, key, ...) end
  local name = command .. ' ' .. key
  local row = waiting_writes[name]
  if not row then
    row = {command, key}
    waiting_writes[name], waiting_writes[#waiting_writes + 1] = row, row
  end
  for _, argument in ipairs({...}) do row[#row + 1] = argument end
end

-- 500 arguments at a time, since `unpack` puts them on the stack.
local function do_waiting_writes()
  for _, row in ipairs(waiting_writes) do
    for i = 3, #row, 500 do
      redis.call(row[1], row[2], unpack(row, i, math.min(i + 499, #row)))
    end
  end
  waiting_writes = nil
end
