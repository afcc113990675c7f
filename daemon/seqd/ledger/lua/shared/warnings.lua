-- Warnings of what is about to expire: an open job, or the results of an ended one.
--
-- Shared by all scripts; expire.lua emits them.

-- Warn of an end when a tenth of the time is left, and no more than an hour before it.
local MAX_NOTICE_MS = 3600000
local function warn_before(id, what, ends_at, span_ms)
  local notice = math.min(span_ms / 10, MAX_NOTICE_MS)
  write_shared('ZADD', warnings_key(), ends_at - notice, id .. ' ' .. what)
end
