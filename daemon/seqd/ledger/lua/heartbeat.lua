-- Note that the client of an upload is alive, while its input is slow or has to wait.
--
-- ARGV: prefix, job, token of the upload.
-- Keys: job hash, uploads.
-- Returns: 1 while the upload owns the job, else 0.
-- Guarantee: only the owner counts as a sign of life. Holds when Redis is full.
local id, uploads = ARGV[2], PREFIX .. ':uploads'
if redis.call('HGET', job_key(id), 'owner') ~= ARGV[3] then return 0 end
-- Removed first: a full Redis lets a script go on that has removed something.
if redis.call('ZREM', uploads, id) == 1 then redis.call('ZADD', uploads, NOW, id) end
return 1
