-- Cancel, pause, resume or remove several jobs, each as the script for one does.
--
-- ARGV: prefix, action (cancel, pause, resume, remove), who does, then for each job: its id, and the state in which
--       it was found.
-- Keys: hashes of jobs, and those of end_job.lua, pause.lua, resume.lua and remove.lua.
-- Returns: for each job 'done'; 'gone' for one that is not there; 'changed' for one in another state by now, which
--          is left alone; else why it was left as it is, by what remove.lua says.
-- Guarantee: of each job all or nothing, as by the script for one. Sent twice it acts on none twice.
local ACTS = {
  cancel = function(id) stop_job(id, 'cancelled', '') end,
  pause = function(id) pause_job(id, ARGV[3]) end,
  resume = function(id) resume_job(id) end,
  remove = function(id)
    local outcome = remove_job(id)
    if outcome ~= 'removed' then return outcome end
  end,
}

local outcomes = {}
for at = 4, #ARGV, 2 do
  local id, found = ARGV[at], ARGV[at + 1]
  local state = redis.call('HGET', job_key(id), 'state')
  local why = not state and 'gone' or state ~= found and 'changed' or ACTS[ARGV[2]](id)
  outcomes[#outcomes + 1] = why or 'done'
end
return outcomes
