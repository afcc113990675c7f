-- The work that is left, by queue: what autoscaling goes by.
--
-- Shared by all scripts. `work_left` has, by queue, the items of open jobs that nobody has done, leased
-- ones among them, and those that are estimated of files not read yet (`unread` of a job). A paused job
-- counts nothing. It changes in the step that changes what it counts, so it is 0 when the last item is done.
-- A release that knows nothing of it, or a hand in Redis, leaves it wrong: recount_work.lua counts anew, job
-- by job in the order of their creation, beside what goes on. Up to where it has come (`:counted_to`),
-- changes go into both counts.
local function work_left_key() return PREFIX .. ':work_left' end
local function recount_key() return PREFIX .. ':work_left:recount' end

-- The creation up to which jobs stand in the recount; read once a call. Below 0 where there is none.
local counted_to
local function is_recounted(created)
  counted_to = counted_to or tonumber(redis.call('HGET', recount_key(), ':counted_to') or '-1')
  return counted_to >= 0 and (tonumber(created) or math.huge) <= counted_to
end

local deferred_work  -- key → queue → items, added behind a batch; nil outside one
local function add_work(key, queue, items)
  if not deferred_work then
    if redis.call('HINCRBY', key, queue, items) <= 0 then redis.call('HDEL', key, queue) end
    return
  end
  local sums = deferred_work[key]
  if not sums then
    sums = {}
    deferred_work[key] = sums
  end
  sums[queue] = (sums[queue] or 0) + items
end

-- Add items of a job to what is left of its queue.
local function count_work(queue, created, items)
  if items == 0 or not queue or queue == '' then return end
  add_work(work_left_key(), queue, items)
  if is_recounted(created) then add_work(recount_key(), queue, items) end
end

-- Add items to what is left of a job's queue, unless the job is paused. Its fields are read.
local function count_work_of(id, items)
  if items == 0 then return end
  local job = redis.call('HMGET', job_key(id), 'state', 'queue', 'created')
  if job[1] ~= 'paused' then count_work(job[2], job[3], items) end
end

local function apply_deferred_work()
  local sums = deferred_work
  deferred_work = nil
  for key, queues in pairs(sums) do
    for queue, items in pairs(queues) do
      if items ~= 0 then add_work(key, queue, items) end
    end
  end
end
