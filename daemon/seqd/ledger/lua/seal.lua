-- Declare a job's input complete, and end the job when all of it is done already.
--
-- ARGV: prefix, job, number of units that the caller added, digest of the request and of all its
--       input ('' for none), token of the upload that sent it ('' for none), attempt of the unit
--       `ingest` ('' for none).
-- Keys: job hash, todo, leases, timers, jobs:open, uploads, events, ranges, ahead, offered ranges, those
--       of the queue, wakeup, tenant, work_left.
-- Returns: 'sealed'; 'behind' when units are missing, which Redis had acknowledged and lost; 'not_owner' when
--          another upload owns the job; 'ended' when the job takes no more input, or takes it from another
--          attempt of the ingest.
-- Guarantee: after it, `total` and `units` never change again. Only the upload that owns the job, or
-- the ingest that holds the lease, seals; who seals one that is sealed is told so only when the input
-- is the same. Sent twice it does nothing.
local id, units, digest, owner, ingest = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local key = job_key(id)
local job = redis.call('HMGET', key, 'state', 'sealed', 'units', 'kind', 'owner', 'input_digest')
if not job[1] or not is_open(job[1]) then return 'ended' end
if job[2] == '1' then return (job[6] or digest) == digest and 'sealed' or 'not_owner' end
if ingest ~= '' and lease_of(key, 'ingest') ~= tonumber(ingest) then return 'ended' end
if (job[5] or '') ~= owner then return 'not_owner' end
if job[3] ~= units then return 'behind' end
if ingest ~= '' then
  forget_ranges(id)
  drop_lease(id, 'ingest')
end
redis.call('HSET', key, 'sealed', 1)
count_work_of(id, 0 - tonumber(redis.call('HGET', key, 'unread') or '0'))
redis.call('HDEL', key, 'owner', 'ingest_position', 'ingest_for', 'unread')
redis.call('ZREM', PREFIX .. ':uploads', id)
if is_one_training(job[4]) then
  -- The training itself is one unit, the last; the chunks before it are its data.
  redis.call('HSET', key, 'total', 1, 'units', 1)
  charge(redis.call('HGET', key, 'tenant'), 0, 1, 0)
  count_work_of(id, 1)
  wake(make_claimable(id, TRAIN_UNIT))
  return 'sealed'
end
complete_if_done(id, read_job(id))
return 'sealed'
