-- Take or keep the lock of a periodic task.
--
-- ARGV: prefix, task, worker, milliseconds for which it holds.
-- Keys: lock.
-- Returns: 1 when the worker holds the lock, else 0.
-- Guarantee: one worker holds it, so many milliseconds after its last call at most. A lock that is kept takes
-- no memory, so it is kept on a full Redis, too.
local worker, ttl_ms = ARGV[3], ARGV[4]
local key = PREFIX .. ':lock:' .. ARGV[2]
local holder = redis.call('GET', key)
if holder then return holder == worker and redis.call('PEXPIRE', key, ttl_ms) or 0 end
redis.call('SET', key, worker, 'PX', ttl_ms)
return 1
