-- Make the consumer group by which workers share the inbox, and the stream where it is not there.
--
-- ARGV: prefix.
-- Keys: inbox.
-- Returns: 1, or 0 when the group is there.
-- Guarantee: works on a full Redis too, or nothing could be taken out of an inbox that has filled it: a
-- full Redis lets a script go on that has removed, as this one does with an entry that cannot be.
redis.call('XDEL', inbox_key(), '0-0')
local reply = redis.pcall('XGROUP', 'CREATE', inbox_key(), INBOX_GROUP, '0', 'MKSTREAM')
if type(reply) ~= 'table' or not reply.err then return 1 end
if string.find(reply.err, 'BUSYGROUP', 1, true) then return 0 end
return redis.error_reply(reply.err)
