-- Count anew what is left of each queue, a few jobs in each call.
--
-- ARGV: prefix, 1 to begin at the oldest job, else 0; jobs that this call looks at.
-- Keys: jobs:open, work_left, its recount, hashes of jobs.
-- Returns: 1 when it is done and `work_left` is what was counted, else 0: call again.
-- Guarantee: jobs that are made, worked on, paused or ended meanwhile are counted once, as they are in the
-- end. Where the caller stops before the end nothing is changed, and the recount goes after RECOUNT_TTL_S.
-- A damaged job counts nothing.
local RECOUNT_TTL_S = 600
local begins, most = ARGV[2] == '1', tonumber(ARGV[3])
if begins then
  redis.call('UNLINK', recount_key())
  redis.call('HSET', recount_key(), ':counted_to', 0)
end
local last = redis.call('HGET', recount_key(), ':counted_to')
if not last then return 0 end

local rows = redis.call('ZRANGEBYSCORE', PREFIX .. ':jobs:open', '(' .. last, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local count, is_last = #rows / 2, #rows < 2 * most
-- Jobs of one millisecond are counted in one call: those of the last one come with the next, and where there
-- is no other, all of them now. That is one call of submit.lua, or two.
local end_time = rows[#rows]
if not is_last and rows[2] ~= end_time then
  while rows[2 * count] == end_time do count = count - 1 end
elseif not is_last then
  rows = redis.call('ZRANGEBYSCORE', PREFIX .. ':jobs:open', end_time, end_time, 'WITHSCORES')
  count = #rows / 2
end
for i = 1, count do
  pcall(function()  -- a damaged job is for the next claim to put into quarantine
    local job = read_fields(rows[2 * i - 1], {'state', 'queue', 'total', 'succeeded', 'errored', 'cancelled',
      'expired', 'unread'})
    local left = counts_of(job)[6] + tonumber(job.unread or '0')
    if is_open(job.state) and job.state ~= 'paused' and job.queue ~= '' and left > 0 then
      redis.call('HINCRBY', recount_key(), job.queue, left)
    end
  end)
end
if count > 0 then redis.call('HSET', recount_key(), ':counted_to', rows[2 * count]) end
redis.call('EXPIRE', recount_key(), RECOUNT_TTL_S)
if not is_last then return 0 end
redis.call('UNLINK', work_left_key())
redis.call('HDEL', recount_key(), ':counted_to')
if redis.call('EXISTS', recount_key()) == 1 then
  redis.call('RENAME', recount_key(), work_left_key())
  redis.call('PERSIST', work_left_key())
end
return 1
