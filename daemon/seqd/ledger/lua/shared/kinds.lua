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
