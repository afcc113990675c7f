-- Names of keys and of what stands in them, and the time.
--
-- Shared by all scripts; see seqd.ledger.scripts. Every script takes the key prefix as ARGV[1] and
-- builds its keys here, by the names that seqd_schemas.keys documents. Every time is the server's:
-- no worker's clock is trusted.
local PREFIX = ARGV[1]
local PRIORITIES = {'interactive', 'normal', 'bulk'}
-- Everything that a job has beside its hash.
local JOB_PARTS = {'todo', 'leases', 'in', 'out', 'failed', 'parts', 'sizes', 'digests', 'attempts',
  'crashes', 'events'}

local time = redis.call('TIME')
local NOW = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function job_key(id) return PREFIX .. ':job:{' .. id .. '}' end
local function timers_key() return PREFIX .. ':timers' end
local function group_key(group) return PREFIX .. ':group:' .. group end
local function route_key(route, priority) return PREFIX .. ':route:' .. route .. ':' .. priority end
local function bell_key(route) return PREFIX .. ':bell.' .. route end
local function worker_leases_key(worker) return PREFIX .. ':worker:' .. worker .. ':leases' end
local function tenant_key(tenant) return PREFIX .. ':tenant:' .. tenant end
local function deadlines_key() return PREFIX .. ':deadlines' end
local function warnings_key() return PREFIX .. ':warnings' end

local function next_turn() return redis.call('INCR', PREFIX .. ':turn') end

local function is_open(state)
  return state == 'queued' or state == 'running' or state == 'paused'
end

-- A part of a split unit is called UNIT:FIRST:END; its unit is what stands in front.
local function unit_of(name) return string.match(name, '^[^:]+') end
