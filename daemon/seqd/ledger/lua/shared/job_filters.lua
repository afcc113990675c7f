-- A walk over the jobs that match a filter, in steps of bounded size.
--
-- Of act_on_jobs.lua. A step begins behind a cursor, `SCORE JOB`, the place of
-- the last job that was looked at in an index (`jobs`, or `jobs:open` where all that match are open). So
-- jobs that are made, end or go meanwhile neither hide another one nor bring one up twice.

-- True where a member comes behind another one of the same score: by bytes, as Redis sorts them. Lua
-- compares by the server's locale.
local function is_behind(one, other)
  for i = 1, math.min(#one, #other) do
    local byte, against = string.byte(one, i), string.byte(other, i)
    if byte ~= against then return byte > against end
  end
  return #one > #other
end

-- The rank of the first member behind a place, whether a member is left there or not.
local function rank_behind(index, score, id)
  local low = redis.call('ZCOUNT', index, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', index, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_behind(redis.call('ZRANGE', index, middle, middle)[1], id) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

-- The next jobs of an index behind a cursor, '' for its begin, that were accepted from `since` to `till`,
-- as {job, score, job, score, ...}; at most so many.
local function next_jobs(index, cursor, since, till, most)
  local score, id = string.match(cursor, '^(%S+) (.*)$')
  local first = score and rank_behind(index, score, id) or redis.call('ZCOUNT', index, '-inf', '(' .. since)
  local rows = redis.call('ZRANGE', index, first, first + most - 1, 'WITHSCORES')
  while #rows > 0 and tonumber(rows[#rows]) > tonumber(till) do
    rows[#rows], rows[#rows - 1] = nil, nil
  end
  return rows
end

-- Fields of a job that tell whether it matches; a template has some of those of a small job.
local FILTER_FIELDS = {'state', 'kind', 'model', 'version', 'tenant', 'template', 'group', 'errored',
  'cancelled', 'expired', 'continued_by'}
local templates = {}  -- digest -> kind, model, version, tenant and spec
local function template_row(digest)
  local row = templates[digest]
  if not row then
    row = redis.call('HMGET', template_key(digest), 'kind', 'model', 'version', 'tenant', 'spec')
    templates[digest] = row
  end
  return row
end

-- The fields of a job by which it matches and is counted; nil where there is no such job.
local function filtered_row(id)
  local row = redis.call('HMGET', job_key(id), unpack(FILTER_FIELDS))
  if not row[1] then return nil end
  local job = {state = row[1], kind = row[2], model = row[3], version = row[4], tenant = row[5],
    has_failed = (tonumber(row[8]) or 0) + (tonumber(row[9]) or 0) + (tonumber(row[10]) or 0) > 0,
    is_continued = row[11]}
  if row[1] == 'completed' and row[6] and not row[7] then  -- `is_small`, without a table for each job
    local shared = template_row(row[6])
    job.kind, job.model, job.version, job.tenant = shared[1], shared[2], shared[3], shared[4]
    job.spec = shared[5]
  end
  return job
end

-- True where a job matches a filter: `states` by name, `kind`, `model`, `version`, `tenant`, `metadata`, what its
-- id begins with, and `has_failed` for one with items to retry that nobody has retried.
local function does_match(id, job, wanted)
  if wanted.states and not wanted.states[job.state] then return false end
  if wanted.kind and job.kind ~= wanted.kind or wanted.model and job.model ~= wanted.model
      or wanted.version and job.version ~= wanted.version or wanted.tenant and job.tenant ~= wanted.tenant then
    return false
  end
  if wanted.id_begins and string.sub(id, 1, #wanted.id_begins) ~= wanted.id_begins then return false end
  local is_done = not job.has_failed or job.is_continued or is_one_training(job.kind)
  if wanted.has_failed and is_done then return false end
  if wanted.metadata then
    local notes = cjson.decode(job.spec or redis.call('HGET', job_key(id), 'spec')).metadata or {}
    for name, text in pairs(wanted.metadata) do
      if notes[name] ~= text then return false end
    end
  end
  return true
end
