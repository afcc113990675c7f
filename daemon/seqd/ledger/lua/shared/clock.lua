-- The server's clock, when it steps back.
--
-- Shared by all scripts. Leases, back-offs and signs of life stand in Redis as times of the server's
-- clock. NTP or a person may set that clock back, and after a failover it is another's. Then what was
-- written before lies too far ahead, and would hold for as long as the clock was set back.

local function clock_key() return PREFIX .. ':clock' end

-- The latest time that was noted; 0 where there is none, or somebody has written something else there.
local function latest_noted()
  local noted = redis.pcall('GET', clock_key())
  return type(noted) == 'string' and tonumber(noted) or 0
end

-- True from a step back until the clock shows again what it has shown before. What was written before
-- the step may lie too far ahead all that time, and not only at the first look.
local function clock_is_behind() return NOW < latest_noted() end
