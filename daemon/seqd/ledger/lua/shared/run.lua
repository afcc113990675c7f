-- Runs a script, and adds to its error the job at which it was.
--
-- Shared by all scripts: stands behind each, whose text is the function `run`. The job is in hex,
-- since its name may be anything that somebody has written into Redis.
local ok, reply = pcall(run)
if ok then return reply end
local job = current_job and string.gsub(current_job, '.', function(byte)
  return string.format('%02x', string.byte(byte))
end)
return redis.error_reply(text_of(reply) .. (job and ' [job ' .. job .. ']' or ''))
