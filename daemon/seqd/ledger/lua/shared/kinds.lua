-- What the ledger knows of single kinds of jobs. Of all others it knows that they have items.
--
-- Shared by all scripts. The table of kinds is seqd/kinds.py.

-- The only unit of a training, and the kind of such a job: it has no items, and no input that workers
-- take away bit by bit.
local TRAIN_UNIT = 'train'
local function is_one_training(kind) return kind == 'train' end

-- True of a job whose items are trainings.
local function is_sweep(kind) return kind == 'sweep' end

-- True of a job that makes versions.
local function makes_versions(kind) return is_one_training(kind) or is_sweep(kind) end

-- The least request of each kind that can be read; of a kind that nobody knows, that of the first there was.
local UPLOAD = '"source":{"type":"upload"}'
local LEAST_REQUESTS = {classify = UPLOAD, generate = UPLOAD, train = UPLOAD,
  run = '"task":"unknown",' .. UPLOAD,
  sweep = '"grid":{"unknown":[0]},"source":{"type":"named","name":"unknown:unknown"}'}
local function least_request(kind)
  local known = LEAST_REQUESTS[kind] and kind or 'classify'
  return known, LEAST_REQUESTS[known]
end
