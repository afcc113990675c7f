-- Units of input that are added to a job, and those that are read ahead of their turn.
--
-- Shared by scripts. Several workers read one large file: the one that holds the unit `ingest` offers
-- ranges of it, each of whole units, and adds what others have read in the order of the file. A range is
-- no unit and has no lease: what is read ahead is a copy of what stands in the file, which is read again
-- where it is lost. So only what was added counts, as where one worker reads alone.

-- Seconds for which ranges, and what was read of them, are kept after the last change.
local RANGES_TTL_S = 3600

-- Milliseconds after which a range is offered again of which no unit has come: ten times what a unit of
-- the largest size takes. And how often it is: who dies of it is not to take others along.
local TAKEN_MS, MOST_TAKES = 3000, 3

local function keep_ranges(key)
  redis.call('EXPIRE', key .. ':ranges', RANGES_TTL_S)
  redis.call('EXPIRE', key .. ':ahead', RANGES_TTL_S)
end

local function forget_ranges(id)
  local key = job_key(id)
  redis.call('UNLINK', key .. ':ranges', key .. ':ahead')
  redis.call('ZREM', offered_key(), id)
end

-- A range as it stands in `ranges`: "UNITS TAKEN_AT TAKES WORKER POSITION", WORKER is - for none.
local function range_of(text)
  local units, taken_at, takes, worker, position = string.match(text or '', '^(%d+) (%d+) (%d+) (%S+) (.*)$')
  if not units then return nil end
  return {units = tonumber(units), taken_at = tonumber(taken_at), takes = tonumber(takes), worker = worker,
    position = position}
end

local function write_range(key, first, range)
  redis.call('HSET', key .. ':ranges', first, string.format('%d %.0f %d %s %s', range.units,
    range.taken_at, range.takes, range.worker, range.position))
end

-- Add a unit of items, or a chunk of a training set, behind the others.
local function add_unit(id, unit, blob, size, kind, tenant, position)
  local key = job_key(id)
  redis.call('HSET', key .. ':in', unit, blob)
  redis.call('HINCRBY', key, 'units', 1)
  if position ~= '' then redis.call('HSET', key, 'ingest_position', position) end
  redis.call('HINCRBY', key, 'pending_bytes', #blob)
  charge(tenant, 0, is_one_training(kind) and 0 or tonumber(size), #blob)
  -- The chunks of a training set are not work of their own: they wait for the unit `train`.
  if is_one_training(kind) then return end
  redis.call('HSET', key .. ':sizes', unit, size)
  redis.call('HINCRBY', key, 'total', size)
  count_work_of(id, tonumber(size))
  wake(make_claimable(id, unit))
end
