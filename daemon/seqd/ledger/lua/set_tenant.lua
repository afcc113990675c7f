-- Set limits of a tenant, or take them away.
--
-- ARGV: prefix, tenant, most tenants that may have limits, the weight ('' to leave it), then name and value
--       of each other limit that changes, '' for one that is taken away.
-- Keys: limits of the tenant, weights, queues, queue, virtual times.
-- Returns: 1; 0 where as many tenants have limits as may, and nothing was changed.
-- Guarantee: all of it or nothing. It holds from the next submission and claim on, also for open jobs:
-- where the tenant stands before others, by what it was handed, changes with its weight, so that nobody
-- waits off what was charged at another one. A tenant whose limits are all taken away is as if it never
-- had any.
local tenant, most, weight = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local key = limits_key() .. ':' .. tenant
-- Queues of a class in which its place is changed at once; in others it is right once it has been served.
local MOST_QUEUES = 250

-- Change how far the tenant is ahead of its class by the ratio of its old weight and its new one.
local function rescale(priority, ratio)
  local times = virtual_times_key(priority)
  local row = redis.call('ZMSCORE', times, tenant, CLASS_TIME)
  local own, class_time = tonumber(row[1]), tonumber(row[2]) or 0
  local function moved(time) return class_time + (time - class_time) * ratio end
  if own and own > class_time then redis.call('ZADD', times, moved(own), tenant) end
  local queues = redis.call('ZRANGE', queues_key(priority), 0, MOST_QUEUES - 1, 'WITHSCORES')
  for i = 1, #queues, 2 do
    local queue, shift = queue_key(queues[i], priority), tonumber(queues[i + 1])
    local standing = tonumber(redis.call('ZMSCORE', queue, tenant)[1])
    if standing and standing + shift > class_time then
      redis.call('ZADD', queue, moved(standing + shift) - shift, tenant)
    end
  end
end

local is_known = redis.call('HEXISTS', weights_key(), tenant) == 1
if not is_known and redis.call('HLEN', weights_key()) >= most then return 0 end
local before = weights_of({tenant})[1]
for i = 5, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', key, ARGV[i])
  else
    redis.call('HSET', key, ARGV[i], ARGV[i + 1])
  end
end
if weight ~= '' then
  redis.call('HSET', weights_key(), tenant, weight)
elseif not is_known then
  redis.call('HSET', weights_key(), tenant, 1)
end
local now = weights_of({tenant})[1]
if now == 1 and redis.call('EXISTS', key) == 0 then redis.call('HDEL', weights_key(), tenant) end
if now ~= before then
  for _, priority in ipairs(PRIORITIES) do rescale(priority, before / now) end
end
return 1
