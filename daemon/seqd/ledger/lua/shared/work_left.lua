-- The work that is left, by queue: what autoscaling goes by.
--
-- Shared by all scripts. `work_left` has, by queue, the items of open jobs that nobody has done, leased
-- ones among them, and those that are estimated of files not read yet (`unread` of a job). A job that is held,
-- such as a paused one, counts nothing. It changes in the step that changes what it counts, so it is 0 when the last item is done.
local function work_left_key() return PREFIX .. ':work_left' end

local function count_work_now(queue, items)
  if items ~= 0 and redis.call('HINCRBY', work_left_key(), queue, items) <= 0 then
    redis.call('HDEL', work_left_key(), queue)
  end
end

-- Add items of a job to what is left of its queue.
local function count_work(queue, items)
  if queue and queue ~= '' then add_later(count_work_now, queue, items) end
end

-- Add items to what is left of a job's queue, unless the job is held. Its fields are read.
local function count_work_of(id, items)
  if items == 0 then return end
  local state, queue = unpack(redis.call('HMGET', job_key(id), 'state', 'queue'))
  if not is_held(state) then count_work(queue, items) end
end
