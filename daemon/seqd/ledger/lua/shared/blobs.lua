-- What a chunk of input inflates to, by what it says of itself.
--
-- Shared by scripts. Whoever writes a chunk states its bytes of JSON in it: a frame of zstd has them in
-- its header, as the format provides (RFC 8878, 3.1.1.1), and small input is a zlib stream whose window
-- no content of it exceeds. So nothing stands beside the chunk that could be lost or contradict it. It is
-- a claim, not a proof: the worker inflates no more than was stated (seqd.ledger.blobs), and refuses a
-- chunk that goes on. A reference states the bytes in a file that it stands for: `@BYTES {…}`.

-- First byte of a zlib stream with a window of 4,096 bytes, and the most bytes that it stands for.
local SMALL_STREAM, MOST_OF_SMALL = 72, 4096
local ZSTD_MAGIC = '\40\181\47\253'
-- Bytes of a dictionary's number, by the two last bits of a frame's descriptor.
local ID_BYTES = {[0] = 0, [1] = 1, [2] = 2, [3] = 4}

-- Bytes of JSON that a chunk states, never fewer than it has itself; nil where it states none.
local function stated_bytes(blob)
  if string.byte(blob) == SMALL_STREAM then return math.max(MOST_OF_SMALL, #blob) end
  local referred = string.match(blob, '^@(%d+) ')
  if referred then return math.max(tonumber(referred), #blob) end
  local descriptor = string.byte(blob, 5)
  if string.sub(blob, 1, 4) ~= ZSTD_MAGIC or not descriptor then return nil end
  local form, is_single = math.floor(descriptor / 64), math.floor(descriptor / 32) % 2 == 1
  local width = form > 0 and 2 ^ form or is_single and 1 or 0
  local first = 6 + (is_single and 0 or 1) + ID_BYTES[descriptor % 4]
  if width == 0 or #blob < first + width then return nil end
  local bytes = 0
  for at = first + width - 1, first, -1 do bytes = bytes * 256 + string.byte(blob, at) end
  return math.max(form == 1 and bytes + 256 or bytes, #blob)
end
