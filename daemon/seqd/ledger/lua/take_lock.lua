-- Take or keep the lock of a periodic task.
--
-- ARGV: prefix, task, worker, milliseconds for which it holds.
-- Keys: lock, clock.
-- Returns: 1 when the worker holds the lock, else 0.
-- Guarantee: one worker holds it, no longer than so many milliseconds after its last call: of a lock that
-- was taken before the clock stepped back Redis itself would keep the key until the clock is there again.
local worker, ttl_ms = ARGV[3], tonumber(ARGV[4])
local key = PREFIX .. ':lock:' .. ARGV[2]
local holder = redis.call('GET', key)
if not holder then
  redis.call('SET', key, worker, 'PX', ttl_ms)
  return 1
end
local is_held = holder == worker
if is_held or (clock_is_behind() and redis.call('PTTL', key) > ttl_ms) then
  redis.call('PEXPIRE', key, ttl_ms)
end
return is_held and 1 or 0
