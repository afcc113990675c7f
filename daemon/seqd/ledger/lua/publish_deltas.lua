-- Publish text deltas of a worker's units, of those that it still holds.
--
-- ARGV: prefix, worker, a token that no other call has, bytes of deltas that a job keeps at most,
--       then for each entry: job, unit, attempt, TextDeltas as JSON.
-- Keys: job hash, leases, deltas, token of the worker's last deltas, limits, memory.
-- Returns: for each entry 1; 0 when the attempt is not current and nothing was published.
-- Guarantee: a worker that lost its lease cannot publish any more. Sent twice (a lost reply) it publishes
-- once. A job keeps no more than so many bytes, or its last entry if that alone is larger: older
-- ones go first, all of them where a call would have to remove many one by one, and all of them an hour
-- after the last. Nothing is published while Redis is short of memory: readers then take the texts from
-- the results.
local worker, token, most_bytes = ARGV[2], ARGV[3], tonumber(ARGV[4])
local FIRST, ARGUMENTS = 5, 4
-- What an entry takes in a stream beside its content, so that tiny ones are bounded in number.
local ENTRY_BYTES = 64
-- A call is sent again within seconds or never.
local TOKEN_TTL_S = 60

-- Entries that one call removes one by one, and how many at a time.
local removable, AT_ONCE = 500, 32

-- An identifier for the next entry of a stream that is made anew: behind its last one, so that no reader
-- misses what follows.
local function id_behind_last(stream)
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  local ms, number = string.match(last and last[1] or '0-0', '^(%d+)-(%d+)$')
  return NOW > tonumber(ms) and '*' or string.format('%s-%.0f', ms, number + 1)
end

local function add(key, delta)
  local stream = key .. ':deltas'
  local known = redis.call('EXISTS', stream) == 1 and redis.call('HGET', key, 'delta_bytes')
  local held = tonumber(known or '0') + #delta + ENTRY_BYTES
  while held > most_bytes and removable > 0 do
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', math.min(removable, AT_ONCE))
    local ids = {}
    for _, entry in ipairs(oldest) do
      if held <= most_bytes then break end
      held = held - #entry[2][2] - ENTRY_BYTES
      ids[#ids + 1] = entry[1]
    end
    if #ids == 0 then break end
    removable = removable - #ids
    redis.call('XDEL', stream, unpack(ids))
  end
  local id = '*'
  if held > most_bytes then
    id = id_behind_last(stream)
    redis.call('UNLINK', stream)
    held = #delta + ENTRY_BYTES
  end
  redis.call('XADD', stream, id, 'd', delta)
  redis.call('EXPIRE', stream, DELTAS_TTL_S)
  redis.call('HSET', key, 'delta_bytes', held)
end

local last = PREFIX .. ':worker:' .. worker .. ':deltas'
local is_new = redis.call('GET', last) ~= token and not memory_is_short()
if is_new then redis.call('SET', last, token, 'EX', TOKEN_TTL_S) end
local outcomes = {}
for at = FIRST, #ARGV, ARGUMENTS do
  local key = job_key(ARGV[at])
  local is_held = lease_of(key, ARGV[at + 1]) == tonumber(ARGV[at + 2])
  if is_held and is_new then add(key, ARGV[at + 3]) end
  outcomes[#outcomes + 1] = is_held and 1 or 0
end
return outcomes
