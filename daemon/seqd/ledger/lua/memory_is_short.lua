-- Whether Redis has used up the share of its memory that new work may take.
--
-- ARGV: prefix.
-- Keys: limits, memory.
-- Returns: 1 when it has, else 0. Where no worker has published a share yet, it is 0.8.
-- Guarantee: changes nothing but the note of what was measured, and that not on a full Redis.
if not limit('memory_share') then limits.memory_share = 0.8 end
return memory_is_short() and 1 or 0
