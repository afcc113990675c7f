-- Runs a script, and says of its error at which job it was.
--
-- Shared by all scripts: stands behind each, whose text is the function `run`. The job is in hex,
-- since its name may be anything that somebody has written into Redis.
local went_well, reply = pcall(run)
if went_well then return reply end
local job = suspect and string.gsub(suspect, '.', function(byte)
  return string.format('%02x', string.byte(byte))
end)
return redis.error_reply(text_of(reply) .. (job and ' [job ' .. job .. ']' or ''))
