-- Add the next unit to a job whose input is still open.
--
-- ARGV: prefix, job, unit number, blob ('' of one that was read ahead), its number of items, most bytes that
--       may wait, digest of the request and of all input up to and with this unit ('' for none), token of the
--       upload that sends it ('' for none), attempt of the unit `ingest` ('' for none), where in its file the
--       next unit begins ('' or left out where that is not known).
-- Keys: job hash, todo, leases, in, sizes, ahead, digests, uploads, those of the queue, wakeup, limits, memory,
--       tenant, work_left.
-- Returns: {'added'}, {'full'} when the workers are behind, or the tenant has as much waiting as it may, and
--          {'short'} when memory is short: come again; {'too_large'} when a training set would not fit, {'behind'}
--          when units before it are missing, which Redis had acknowledged and lost, {'missing'} when it is not there
--          that was read ahead, {'not_owner'} when another upload owns the job or its input is complete,
--          {'over_kept', items, about the bytes that the result of each takes, allowed, 1 where the limit is the
--          tenant's own} when the results of the job would be more than its tenant may keep, {'ended'} when the job
--          takes no more input, or takes it from another attempt of the ingest.
-- Guarantee: units are numbered without gaps; the same number sent twice adds one unit. Only the
-- upload that owns the job, or the ingest that holds the lease, adds any. Where its file goes on is written
-- in the same step, and what was read ahead is so no more. While an upload is to come again, the job's field
-- `upload_waits` has what it waits for.
local id, unit, blob, size, most = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], tonumber(ARGV[6])
local digest, owner, ingest, position = ARGV[7], ARGV[8], ARGV[9], ARGV[10] or ''
local key = job_key(id)
local job = redis.call('HMGET', key, 'state', 'sealed', 'units', 'units_done', 'pending_bytes',
  'kind', 'tenant', 'owner', 'total', 'result_bytes', 'upload_waits')
if not job[1] or not is_open(job[1]) then return {'ended'} end
if ingest ~= '' and lease_of(key, 'ingest') ~= tonumber(ingest) then return {'ended'} end
if (job[8] or '') ~= owner then return {'not_owner'} end
local units = tonumber(job[3])
if unit < units then return {'added'} end
if job[2] == '1' then return {'ended'} end
if unit > units then return {'behind'} end
redis.call('ZADD', PREFIX .. ':uploads', 'XX', NOW, id)
local is_ahead = blob == ''
if is_ahead then blob = redis.call('HGET', key .. ':ahead', unit) end
if not blob then return {'missing'} end
local function come_again(what)
  if ingest == '' and job[11] ~= what then redis.call('HSET', key, 'upload_waits', what) end
  return {what == 'memory' and 'short' or 'full'}
end
if tonumber(job[5]) + #blob > most and units > tonumber(job[4]) then
  -- Nothing takes a training set out again before it is complete, so waiting would not help.
  if is_one_training(job[6]) then return {'too_large'} end
  return come_again('workers')
end
local items = is_one_training(job[6]) and 0 or tonumber(size)
local much = over_kept(job[7], tonumber(job[9]) + items, job[10])
if much then return {'over_kept', unpack(much)} end
if not has_room() then return come_again('memory') end
if over_quota(job[7], 0, items, #blob) then return come_again('tenant') end
if job[11] then redis.call('HDEL', key, 'upload_waits') end
if is_ahead then
  redis.call('HDEL', key .. ':ahead', unit, unit .. ' place', unit .. ' ids')
  redis.call('HINCRBY', key .. ':ahead', 'bytes', 0 - #blob)
end

if digest ~= '' then
  redis.call('HSET', key .. ':digests', unit, digest)
  redis.call('HSET', key, 'input_digest', digest)
end
add_unit(id, unit, blob, size, job[6], job[7], position)
return {'added'}
