-- Changes of keys that jobs share: at once, or, in a batch of many jobs, together at its end.
--
-- Shared by all scripts. Sixty-four jobs that end leave each index by one command instead of sixty-four.
-- Only what the same call does not read again may wait; see `finish_batch` in endings.lua.

-- Function → names in their order, and name → its further arguments; nil outside a batch.
local deferred

-- The arguments with which a function is to be called for a name.
local function deferred_row(apply, name)
  local rows = deferred[apply]
  if not rows then
    rows = {}
    deferred[apply] = rows
  end
  local row = rows[name]
  if not row then
    row = {}
    rows[name], rows[#rows + 1] = row, name
  end
  return row
end

-- Call `apply(name, a, b, c, d)`, or once behind the batch with the sums of these numbers.
local function add_later(apply, name, a, b, c, d)
  if not deferred then return apply(name, a, b, c, d) end
  local row = deferred_row(apply, name)
  if a then row[1] = (row[1] or 0) + a end
  if b then row[2] = (row[2] or 0) + b end
  if c then row[3] = (row[3] or 0) + c end
  if d then row[4] = (row[4] or 0) + d end
end

-- Call `apply(name, a, b)`, or once behind the batch with the arguments of all such calls in a row.
local function append_later(apply, name, a, b)
  if not deferred then return apply(name, a, b) end
  local row = deferred_row(apply, name)
  row[#row + 1] = a
  row[#row + 1] = b
end

local function write(name, ...)
  local command, key = string.match(name, '^(%S+) (.*)$')
  redis.call(command, key, ...)
end

-- Run a command on a key with a member, or a score and a member.
local function write_shared(command, key, ...)
  if not deferred then return redis.call(command, key, ...) end
  append_later(write, command .. ' ' .. key, ...)
end
