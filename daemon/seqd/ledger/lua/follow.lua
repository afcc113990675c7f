-- Compare what an upload sends with the input that a job has, or hand the job over to that upload.
--
-- ARGV: prefix, job, unit number, digest of the request and of all input up to and with this unit (''
--       at the end of the input: as many units as the number says), token of the upload, milliseconds
--       of silence after which the owner counts as dead.
-- Keys: job hash, digests, uploads.
-- Returns: {'same'} when the job has this unit with the same content; {'differs'} when it has other
--          content, or more units than the input; {'wait'} when the owner has not come so far;
--          {'taken'} when the upload owns the job now, and goes on with this unit; {'complete', digest
--          of all} when the job's input is complete; {'ended', units, digest of these} when the job
--          ended before that; {'behind'} when units before it are missing, which Redis had acknowledged
--          and lost; {'unknown'} when there is no such job.
-- Guarantee: nothing of the job changes but who owns it, and only after the owner has been silent for
-- so long. Holds when Redis is full.
local id, unit, digest, token, silence_ms = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[6])
local key, uploads = job_key(id), PREFIX .. ':uploads'
local job = redis.call('HMGET', key, 'state', 'sealed', 'units', 'digest', 'input_digest', 'owner')
if not job[1] then return {'unknown'} end
local of_all = job[5] or job[4]
if job[2] == '1' then return {'complete', of_all} end
local units = tonumber(job[3])
if not is_open(job[1]) then return {'ended', units, of_all} end
if unit > units then return {'behind'} end
if unit < units then
  local is_same = digest ~= '' and redis.call('HGET', key .. ':digests', unit) == digest
  return {is_same and 'same' or 'differs'}
end
if job[6] == token then return {'taken'} end
local heard = redis.call('ZSCORE', uploads, id)
if heard and NOW - tonumber(heard) < silence_ms then return {'wait'} end
redis.call('ZREM', uploads, id)  -- first: a full Redis lets a script go on that has removed something
redis.call('ZADD', uploads, NOW, id)
redis.call('HSET', key, 'owner', token)
return {'taken'}
