-- Add to what the versions of a roll-out did.
--
-- ARGV: prefix, model, identifier of the roll-out, seconds for which it is kept, then field and number
--       for each figure.
-- Keys: rollout.
-- Returns: what each of the fields holds now, in their order.
-- Guarantee: all figures are added, or none. Sent twice they are added twice, which changes shares and
-- means little. The fields are bounded by what a worker names: five of each version, and its buckets.
local FIRST_FIELD = 5
local key = PREFIX .. ':rollout:' .. ARGV[2] .. ':' .. ARGV[3]
local totals = {}
for i = FIRST_FIELD, #ARGV, 2 do
  totals[#totals + 1] = redis.call('HINCRBY', key, ARGV[i], ARGV[i + 1])
end
redis.call('EXPIRE', key, ARGV[4])
return totals
