-- Make a job of an entry of the inbox; `submit_jobs` is submit.lua.
--
-- ARGV: those of submit.lua for one job; behind them the entry's stream id, its bytes, and its answer as
--       JSON once the job is made.
-- Keys: those of submit.lua; inbox, its answers, its rejections.
-- Returns: what submit.lua returns; also {'answered', job} when the entry was answered before.
-- Guarantee: the job, its answer and the removal of the entry are one step. What is refused, or is there
-- already, leaves the entry where it is, for answer_entry.lua. On a Redis that is short of memory or full,
-- an entry that takes as much as its job becomes one: the entry is removed first.
local answer = table.remove(ARGV)
taken_entry = {bytes = tonumber(table.remove(ARGV))}
taken_entry.id = table.remove(ARGV)
local replies = submit_jobs()
if replies[1][1] == 'created' then add_answer(taken_entry.id, answer) end
return replies
