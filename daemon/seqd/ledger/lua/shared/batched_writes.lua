-- Writes to keys that jobs share: at once, or, in a batch of many jobs, together at its end.
--
-- Shared by all scripts. Sixty-four jobs that end leave each index by one command instead of sixty-four.
-- Only what the same call does not read again may wait; see `finish_batch` in endings.lua.

-- Commands of the batch in their order; nil outside a batch, where each is done at once.
local deferred_writes

-- Run a command that takes any number of arguments behind its key, in pairs for ZADD.
local function write_shared(command, key, ...)
  if not deferred_writes then return redis.call(command, key, ...) end
  local name = command .. ' ' .. key
  local row = deferred_writes[name]
  if not row then
    row = {command, key}
    deferred_writes[name], deferred_writes[#deferred_writes + 1] = row, row
  end
  for _, argument in ipairs({...}) do row[#row + 1] = argument end
end

-- 500 arguments at a time, since `unpack` puts them on the stack.
local function apply_deferred_writes()
  for _, row in ipairs(deferred_writes) do
    for i = 3, #row, 500 do
      redis.call(row[1], row[2], unpack(row, i, math.min(i + 499, #row)))
    end
  end
  deferred_writes = nil
end
