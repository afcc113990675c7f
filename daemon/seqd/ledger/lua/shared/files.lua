-- The records of uploaded files.
local function files_key() return PREFIX .. ':files' end
local function files_due_key() return PREFIX .. ':files:due' end
local function file_bytes_key() return PREFIX .. ':files:bytes' end
local function tenant_files_key(tenant) return PREFIX .. ':tenant:' .. tenant .. ':files' end

-- The record of a file; an empty one where there is none that can be read.
local function record_of_file(id)
  local ok, record = pcall(cjson.decode, redis.call('HGET', files_key(), id) or '{}')
  return ok and type(record) == 'table' and record or {}
end
