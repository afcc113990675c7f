-- Take a range of a file to read it.
--
-- ARGV: prefix, worker, the job whose ingest the worker holds ('' to look at all that are offered), number of
--       jobs that it cannot read, those jobs, then the queues that it can run.
-- Keys: offered ranges, job hash, ranges, ahead, wakeup.
-- Returns: {job, request, items of a unit, first unit, number of units, where it begins}; {} when there is none
--          for the worker. Where there is more to be read, another worker is woken.
-- Guarantee: a range is with one worker for as long as its units come, and then free again. It is taken
-- MOST_TAKES times at most by others than the ingest itself. Of a job that ended or has all input nothing is
-- left. Looks at JOBS_LOOKED_AT jobs at most. Sent twice it takes twice: the first is free again by itself.
local worker, own, misread = ARGV[2], ARGV[3], tonumber(ARGV[4])
local JOBS_LOOKED_AT = 8
local unreadable, queues = {}, {}
for i = 5, 4 + misread do unreadable[ARGV[i]] = true end
for i = 5 + misread, #ARGV do queues[ARGV[i]] = true end

local function is_free(range)
  if range.worker == '-' then return true end
  return NOW - range.taken_at > TAKEN_MS and (own ~= '' or range.takes < MOST_TAKES)
end

-- The first free range of a job, and how many are; those are dropped of which all units were added.
local function free_of(key, units)
  local rows, best, best_range, count = redis.call('HGETALL', key .. ':ranges'), nil, nil, 0
  for i = 1, #rows, 2 do
    local first, range = tonumber(rows[i]), range_of(rows[i + 1])
    if not first or not range or first + range.units <= units then
      redis.call('HDEL', key .. ':ranges', rows[i])
    elseif is_free(range) then
      count = count + 1
      if not best or first < best then best, best_range = first, range end
    end
  end
  return best, best_range, count
end

local function take_of(id)
  local key = job_key(id)
  local job = redis.call('HMGET', key, 'state', 'sealed', 'units', 'queue', 'spec', 'unit_items')
  if not job[1] or not is_open(job[1]) or job[2] == '1' then
    forget_ranges(id)
    return nil
  end
  if not may_claim(job[1]) or (own == '' and not queues[job[4]]) then return nil end
  local first, range, count = free_of(key, tonumber(job[3]))
  if not first then
    if redis.call('EXISTS', key .. ':ranges') == 0 then redis.call('ZREM', offered_key(), id) end
    return nil
  end
  range.worker, range.taken_at, range.takes = worker, NOW, range.takes + 1
  write_range(key, first, range)
  if count > 1 then wake(route_of(job[4])) end
  return {id, job[5], tonumber(job[6]), first, range.units, range.position}
end

if own ~= '' then return take_of(own) or {} end
for _, id in ipairs(redis.call('ZRANGE', offered_key(), 0, JOBS_LOOKED_AT - 1)) do
  local taken = not unreadable[id] and take_of(id)
  if taken then return taken end
end
return {}
