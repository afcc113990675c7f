-- Add the next units to a job of those that were read ahead.
--
-- ARGV: prefix, job, attempt of the unit `ingest`, first unit, most bytes that may wait, then for each unit its
--       number of items, and where in the file the next one begins.
-- Keys: job hash, todo, leases, in, sizes, ahead, those of the queue, limits, memory, tenant,
--       work_left.
-- Returns: {'added', 1 when a wakeup is due, number of units}, which are fewer where one is not there (any
--          more), or where MOST_MOVED_BYTES have been moved; {'full', ...} when no more may wait;
--          {'over_kept', 0, 0, tenant, what append.lua says then} when results would be more than may be kept;
--          {'behind', 0, 0} when units before the first are missing; {'ended', 0, 0} when the job takes no
--          more input, or takes it from another attempt.
-- Guarantee: that of append.lua. No chunk goes through the caller, and what has become a unit is not read
-- ahead any more. The caller names few units (seqd.ledger.ranges), so a call is short. Sent twice it adds
-- each once.
local MOST_MOVED_BYTES = 2097152  -- but for one unit, which may have more
local id, attempt, first, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local key = job_key(id)
local job = redis.call('HMGET', key, 'state', 'sealed', 'units', 'units_done', 'pending_bytes', 'kind', 'tenant',
  'total', 'result_bytes')
if not job[1] or not is_open(job[1]) or job[2] == '1' then return {'ended', 0, 0} end
if lease_of(key, 'ingest') ~= attempt then return {'ended', 0, 0} end
local units, pending, count = tonumber(job[3]), tonumber(job[5]), math.floor((#ARGV - 5) / 2)
if first > units then return {'behind', 0, 0} end
local total, much = tonumber(job[8]), nil
local added, moved, is_due, outcome = math.min(units - first, count), 0, false, 'added'
for i = added, count - 1 do
  local unit = first + i
  local bytes = redis.call('HSTRLEN', key .. ':ahead', unit)
  if bytes == 0 or (moved > 0 and moved + bytes > MOST_MOVED_BYTES) then break end
  local blob = redis.call('HGET', key .. ':ahead', unit)
  local size, position = ARGV[6 + 2 * i], ARGV[7 + 2 * i]
  much = over_kept(job[7], total + tonumber(size), job[9])
  if much then break end
  local is_over = pending + #blob > most and unit > tonumber(job[4])
  if is_over or not has_room() or over_quota(job[7], 0, tonumber(size), #blob) then
    outcome = 'full'
    break
  end
  -- Before anything is added: a full Redis lets only such a script go on.
  redis.call('HDEL', key .. ':ahead', unit, unit .. ' place', unit .. ' ids')
  redis.call('HINCRBY', key .. ':ahead', 'bytes', 0 - #blob)
  is_due = add_unit(id, unit, blob, size, job[6], job[7], position) or is_due
  pending, moved, added = pending + #blob, moved + #blob, added + 1
  total = total + tonumber(size)
end
if much and added == 0 then return {'over_kept', 0, 0, job[7], unpack(much)} end
if added > 0 then outcome = 'added' end
return {outcome, is_due and 1 or 0, added}
