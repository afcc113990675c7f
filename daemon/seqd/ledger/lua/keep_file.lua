-- Write the record of an uploaded file: when its upload begins, while it goes on, when it is whole, when it is to go.
--
-- ARGV: prefix, file, its `UploadedFile` as JSON, most bytes and most files that its tenant may keep.
-- Keys: files, files due, file bytes, tenant files.
-- Returns: {1}; {0, bytes of the tenant's other files} where they would be too many, and nothing was written.
-- Guarantee: one that is due is written in any case, so that it can go. The bytes of the records of a tenant add up to its
-- account. Sent twice it changes nothing more.
local id, file, most_bytes, most_files = ARGV[2], cjson.decode(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local tenant, before = file.tenant, record_of_file(id).bytes
local kept = tonumber(redis.call('HGET', file_bytes_key(), tenant)) or 0
local files, more = redis.call('ZCARD', tenant_files_key(tenant)), file.bytes - (before or 0)
local is_over = (more > 0 and kept + more > most_bytes) or (not before and files >= most_files)
if is_over and file.expires_at_ms > NOW then return {0, kept - (before or 0)} end
redis.call('HSET', files_key(), id, ARGV[3])
redis.call('ZADD', files_due_key(), file.expires_at_ms, id)
redis.call('ZADD', tenant_files_key(tenant), 0, id)
redis.call('HINCRBY', file_bytes_key(), tenant, more)
return {1}
