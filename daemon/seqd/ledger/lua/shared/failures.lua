-- Dead letters: a stream with an entry for each unit and error code of items that failed, and for each job
-- that failed.
--
-- Shared by all scripts. For operators: a result has its error without them, so what cannot be written here
-- fails nothing. Bounded in number and age by the operator's limits.
local FAILURES_KEPT, FAILURES_TTL_S = 10000, 7 * 86400
local MAX_FAILURE_MESSAGE_BYTES = 1000
local function failures_key() return PREFIX .. ':failures' end
local function replayed_key() return failures_key() .. ':replayed' end

-- How many are kept, and for how long. Read once a call, in which what is too old is removed once.
local failure_bounds
local function bounds_of_failures()
  if failure_bounds then return failure_bounds[1] end
  local row = redis.call('HMGET', limits_key(), 'failures', 'failures_ttl_s')
  local most, ttl_s = tonumber(row[1] or nil) or FAILURES_KEPT, tonumber(row[2] or nil) or FAILURES_TTL_S
  failure_bounds = {most, ttl_s}
  if most > 0 then
    local oldest = string.format('%.0f', math.max(NOW - ttl_s * 1000, 0))
    redis.call('XTRIM', failures_key(), 'MINID', '~', oldest)
  end
  return most
end

-- Add records to the dead letters: JSON objects, a line each, without what the job's hash
-- and the entry's id tell.
local function add_failures(id, records)
  local is_first, most = failure_bounds == nil, bounds_of_failures()
  if most == 0 then return end
  local job = read_fields(id, {'tenant', 'model', 'version', 'queue', 'kind'})
  local task = string.match(job.queue or '', '^([%l%d_]+)%.') or job.kind or ''
  local head = '{"job_id":' .. cjson.encode(id)
    .. ',"tenant":' .. cjson.encode(job.tenant or '')
    .. ',"task":' .. cjson.encode(task)
    .. ',"model":' .. cjson.encode(job.model or '')
  for record in string.gmatch(records, '[^\n]+') do
    -- Items of a canary name the version that computed them.
    local is_of_job = tonumber(job.version or nil) and string.sub(record, 2, 10) ~= '"version"'
    local version = is_of_job and ',"version":' .. job.version or ''
    redis.pcall('XADD', failures_key(), 'MAXLEN', '~', most, '*', 'f',
      head .. version .. ',' .. string.sub(record, 2))
  end
  if is_first then redis.pcall('EXPIRE', failures_key(), failure_bounds[2]) end
end

-- The text of UTF-8 up to so many bytes, with no character cut.
local function cut_text(text, most)
  if #text <= most then return text end
  while most > 0 and string.byte(text, most + 1) >= 128 and string.byte(text, most + 1) < 192 do most = most - 1 end
  return string.sub(text, 1, most)
end

-- Add a job that fails, `failure` being JSON, with so many items undone. `seen` is what a worker knows of
-- it: {worker, attempt, how its last worker died or '', traceback or ''}; nil where no worker fails it.
local function add_failed_job(id, failure, undone, seen)
  local ok, told = pcall(cjson.decode, failure)
  if not ok or type(told) ~= 'table' then return end
  local record = {scope = 'job', items = math.max(undone, 0), code = told.code,
    message = cut_text(tostring(told.message or ''), MAX_FAILURE_MESSAGE_BYTES)}
  if seen then
    record.worker, record.attempts = seen[1], seen[2]
    record.cause = string.match(seen[3] or '', '^(%S+)')
    if seen[4] and seen[4] ~= '' then record.traceback = seen[4] end
  end
  add_failures(id, cjson.encode(record))
end
