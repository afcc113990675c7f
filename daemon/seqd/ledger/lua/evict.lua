-- Take expired jobs off their tenants' accounts, and remove ended jobs where there is no room.
--
-- ARGV: prefix, most buckets and tenants to look at; the only tenant to look at, where there is one.
-- Keys: kept, tenants, tenant and its kept, ended and limits, evicted, evictions, limits, memory, template,
--       and all keys of the jobs that it removes.
-- Returns: {number of jobs removed, 1 where there may be more to remove (else 0)}.
-- Guarantee: an open job is never removed, nor one that a job continues which has not ended. A
-- tenant that keeps more than it may loses its oldest ended jobs, but for the last one; when memory is
-- short, those that keep most lose theirs, but for those that ended within the operator's `kept_s`.
-- Holds when Redis is full.
local function with_rest(evicted) return {evicted, evictable < EVICTED_AT_ONCE and 1 or 0} end

local most = tonumber(ARGV[2])
if ARGV[3] then return with_rest(enforce_kept(ARGV[3])) end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', PREFIX .. ':kept', '-inf', NOW, 'LIMIT', 0, most)) do
  forget_bucket(string.match(member, '^(%S+) (%S+)$'))
end

local evicted, allowed = 0, limit('tenant_kept_bytes')
local over = allowed and redis.call('ZREVRANGEBYSCORE', PREFIX .. ':tenants', '+inf',
  '(' .. allowed, 'LIMIT', 0, most) or {}
for _, tenant in ipairs(over) do
  if evictable > 0 then evicted = evicted + enforce_kept(tenant) end
end
if evictable > 0 and memory_is_short() then evicted = evicted + evict_for_memory() end
return with_rest(evicted)
