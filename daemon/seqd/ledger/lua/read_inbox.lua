-- Read entries of the inbox for a worker, few enough for it to hold.
--
-- ARGV: prefix, worker, '>' for entries that nobody has read, or '0' for those that the worker has read
--       and not answered; most entries, bytes of entries after which no other is read.
-- Keys: inbox.
-- Returns: {stream id, {field, value, ...}} of each entry.
-- Guarantee: an entry that its producer has deleted is acknowledged, and not returned.
local worker, after, most, most_bytes = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local entries, bytes = {}, 0
for _ = 1, 4 * most do
  local reply = redis.call('XREADGROUP', 'GROUP', INBOX_GROUP, worker, 'COUNT', 1, 'STREAMS',
    inbox_key(), after)
  local row = reply and reply[1] and reply[1][2][1]
  if not row then break end
  if after ~= '>' then after = row[1] end
  if row[2] then
    entries[#entries + 1] = row
    for _, text in ipairs(row[2]) do bytes = bytes + #text end
    if #entries == most or bytes >= most_bytes then break end
  else
    redis.call('XACK', inbox_key(), INBOX_GROUP, row[1])
  end
end
return entries
