-- Return rows of a job's results in order, from a position on, as long as none is missing.
--
-- ARGV: prefix, job, unit, row of it (0 for its first), most rows, most bytes.
-- Keys: out, job hash.
-- Returns: {unit, row, the rows' blobs}: unit and row are the position to go on from.
-- Guarantee: changes nothing. All rows of a unit are written by one step, so a unit whose first row is
-- there is there as a whole. A row that is larger than all that may be read at once comes alone.
local out = job_key(ARGV[2]) .. ':out'
local unit, row = tonumber(ARGV[3]), tonumber(ARGV[4])
local most, room = tonumber(ARGV[5]), tonumber(ARGV[6])
local rows = {}
while #rows < most do
  local name = row_name(unit, row)
  local size = redis.call('HSTRLEN', out, name)
  if size == 0 and row == 0 then
    local blob = unit == 0 and results_of_small(job_key(ARGV[2])) or ''
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
return {unit, row, rows}
