-- End a job before its work is done: cancelled or failed.
--
-- ARGV: prefix, job, state, failure as JSON ('' for none), unit and attempt that must hold the
--       lease ('' and '' for anyone), token of the upload that must own the job ('' or none for anyone),
--       the plugin's traceback ('' or none where there is none).
-- Keys: job hash, leases, timers, todo, faults, worker leases, jobs:open, uploads, deadlines, warnings,
--       tenant, work_left, idempotency, events, failures, those of the queue.
-- Returns: 'ended' when it did, 'unknown' when there is no such job, 'fenced' when the attempt is
--          not current or another upload owns the job, else the state in which it had ended before.
-- Guarantee: no unit is claimed or committed afterwards; what was committed stays readable. It
-- holds with no worker up, and when Redis is full.
local id, state, failure, unit, attempt = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local key = job_key(id)
local before = redis.call('HGET', key, 'state')
if not before then return 'unknown' end
if not is_open(before) then return before end
local seen
if unit ~= '' then
  local holder, worker = lease_of(key, unit)
  if holder ~= tonumber(attempt) then return 'fenced' end
  seen = {worker, holder, death_of(key, unit), ARGV[8]}
end
local owner = ARGV[7] or ''
if owner ~= '' and redis.call('HGET', key, 'owner') ~= owner then return 'fenced' end
local undone = counts(key)[6]
stop_job(id, state, failure)
if state == 'failed' and failure ~= '' then add_failed_job(id, failure, undone, seen) end
return 'ended'
