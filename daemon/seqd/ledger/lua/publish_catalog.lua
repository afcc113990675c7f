-- Write entries of the catalog of models.
--
-- ARGV: prefix, then for each entry its model, the SHA-1 digest of the entry that was read before ('' for none), the
--       entry.
-- Keys: catalog.
-- Returns: 1; 0 where another entry stands there than was read.
-- Guarantee: all of them or none. No entry is replaced that its publisher has not read: what it says of versions may
-- be older than what stands there.
local key = PREFIX .. ':catalog'
for i = 2, #ARGV, 3 do
  local found = redis.call('HGET', key, ARGV[i])
  if (found and redis.sha1hex(found) or '') ~= ARGV[i + 1] then return 0 end
end
for i = 2, #ARGV, 3 do redis.call('HSET', key, ARGV[i], ARGV[i + 2]) end
return 1
