-- Commit a checkpoint of a training, so that a later attempt may continue from it.
--
-- ARGV: prefix, job, unit, attempt, checkpoint's name, its SHA-256, number of checkpoints kept.
-- Keys: job hash, leases, crashes.
-- Returns: names of the committed checkpoints, newest first; none when the attempt is not current.
-- Guarantee: only the attempt that holds the lease commits: a worker that lost it cannot replace a
-- later state by its own. Sent twice it changes nothing. The unit's crashes are forgiven: a training
-- that makes progress may be killed any number of times, and one that dies in the same epoch again
-- and again fails. A sweep has checkpoints for each of its units.
local id, unit, attempt = ARGV[2], ARGV[3], tonumber(ARGV[4])
local entry, most = ARGV[5] .. ':' .. ARGV[6], tonumber(ARGV[7])
local key = job_key(id)
local field = unit == TRAIN_UNIT and 'checkpoints' or 'checkpoints:' .. unit
if lease_of(key, unit) ~= attempt then return {} end

redis.call('HDEL', key .. ':crashes', unit)
local entries, names = {entry}, {ARGV[5]}
for earlier in string.gmatch(redis.call('HGET', key, field) or '', '%S+') do
  if earlier ~= entry and #entries < most then
    entries[#entries + 1] = earlier
    names[#names + 1] = string.match(earlier, '^[^:]+')
  end
end
redis.call('HSET', key, field, table.concat(entries, ' '))
return names
