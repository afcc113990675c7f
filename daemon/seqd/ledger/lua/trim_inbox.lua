-- Refuse the newest entries of an inbox that is too long.
--
-- ARGV: prefix, most entries that may stay, failure as JSON, seconds to keep a rejection.
-- Keys: inbox, its answers, its rejections, job hashes, events, memory, limits.
-- Returns: how many were refused: 32 at most, and no more after the first half mebibyte of them.
-- Guarantee: as answer_entry.lua's for each of them; the oldest entries stay.
local MOST_AT_ONCE, MOST_BYTES = 32, 524288
local most, failure, ttl_s = tonumber(ARGV[2]), ARGV[3], ARGV[4]

-- The identifier that an entry names, nil where no job may have it; and the bytes of the entry.
local function read_entry(fields)
  local id, bytes = nil, 0
  for i = 1, #fields, 2 do
    if fields[i] == 'id' then id = fields[i + 1] end
    bytes = bytes + #fields[i] + #fields[i + 1]
  end
  return id and #id <= 64 and string.match(id, '^%w[%w_-]*$'), bytes
end

local refused, bytes = 0, 0
local over = math.min(redis.call('XLEN', inbox_key()) - most, MOST_AT_ONCE)
while refused < over and bytes < MOST_BYTES do
  local row = redis.call('XREVRANGE', inbox_key(), '+', '-', 'COUNT', 1)[1]
  local id, entry_bytes = read_entry(row[2])
  remove_entry(row[1])
  if id then reject(id, failure, '', ttl_s) end
  add_answer(row[1], rejection_as_json(row[1], id, failure))
  refused, bytes = refused + 1, bytes + entry_bytes
end
return refused
