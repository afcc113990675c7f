-- Add an endpoint of a tenant, or remove it with all that waits for it.
--
-- ARGV: prefix, webhook, tenant, its record as JSON ('' to remove it), what it is to be told of as JSON, most
--       endpoints of a tenant, most of all.
-- Keys: webhooks, webhooks of the tenant, webhooks:due; webhook, its due, failed and messages.
-- Returns: 1; 0 where there are as many as may be, or none to remove.
-- Guarantee: it is told of what happens from then on. Sent twice it is one. Of one that is removed nothing is sent any more.
local webhook, tenant, record, wanted = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local webhooks, of_tenant = PREFIX .. ':webhooks', tenant_key(tenant) .. ':webhooks'
if record == '' then
  redis.call('HDEL', of_tenant, webhook)
  forget_webhook(webhook)
  return redis.call('HDEL', webhooks, webhook)
end
if redis.call('HEXISTS', webhooks, webhook) == 1 then return 1 end  -- the reply was lost
if redis.call('HLEN', of_tenant) >= tonumber(ARGV[6]) or redis.call('HLEN', webhooks) >= tonumber(ARGV[7]) then
  return 0
end
redis.call('HSET', webhooks, webhook, record)
redis.call('HSET', of_tenant, webhook, wanted)
return 1
