-- Return rows of a job's results in order, from a position on, as long as none is missing, and the
-- job at the same moment.
--
-- ARGV: prefix, job, unit, row of it (0 for its first), most rows, most bytes.
-- Keys: out, job hash, events.
-- Returns: {unit, row, the rows' blobs, the job's fields and values, the id of its newest event, the time}:
-- unit and row are the position to go on from. No field: the job is not kept.
-- Guarantee: changes nothing. All rows of a unit are written by one step, so a unit whose first row is
-- there is there as a whole. A row that is larger than all that may be read at once comes alone. Of a
-- job that has ended no rows come later.
local key = job_key(ARGV[2])
local out = key .. ':out'
local unit, row = tonumber(ARGV[3]), tonumber(ARGV[4])
local most, room = tonumber(ARGV[5]), tonumber(ARGV[6])
local rows = {}
while #rows < most do
  local name = row_name(unit, row)
  local size = redis.call('HSTRLEN', out, name)
  if size == 0 and row == 0 then
    local blob = unit == 0 and results_of_small(key) or ''
    if blob ~= '' then unit, rows[1] = 1, blob end
    break
  end
  if size == 0 then
    unit, row = unit + 1, 0
  elseif #rows > 0 and size > room then
    break
  else
    rows[#rows + 1] = redis.call('HGET', out, name)
    row, room = row + 1, room - size
  end
end
local newest = redis.call('XREVRANGE', key .. ':events', '+', '-', 'COUNT', 1)[1]
return {unit, row, rows, redis.call('HGETALL', key), newest and newest[1] or '0-0', NOW}
