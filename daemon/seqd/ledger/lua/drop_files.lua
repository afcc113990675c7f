-- Forget uploaded files that are due, whose content was removed.
--
-- ARGV: prefix, then the files.
-- Keys: files, files due, file bytes, tenant files.
-- Returns: how many were forgotten.
-- Guarantee: one that is not due, such as one whose upload goes on, is left alone.
local dropped = 0
for i = 2, #ARGV do
  local id = ARGV[i]
  local due = tonumber(redis.call('ZSCORE', files_due_key(), id))
  if due and due <= NOW then
    local file = record_of_file(id)
    if file.tenant and redis.call('HINCRBY', file_bytes_key(), file.tenant, 0 - (file.bytes or 0)) <= 0 then
      redis.call('HDEL', file_bytes_key(), file.tenant)
    end
    if file.tenant then redis.call('ZREM', tenant_files_key(file.tenant), id) end
    redis.call('HDEL', files_key(), id)
    redis.call('ZREM', files_due_key(), id)
    dropped = dropped + 1
  end
end
return dropped
