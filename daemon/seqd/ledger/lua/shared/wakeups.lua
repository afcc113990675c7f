-- Wakeups: Celery messages without content, each of which has one worker look at the ledger.
--
-- Shared by all scripts: the step that makes work claimable sends one. It may be lost, doubled or late, and on a
-- full Redis there is none: the reconciler sends one for what nobody claims. `WAKEUP` is the message, made by
-- seqd.ledger.scripts.

-- Wake a worker of a route, unless a wakeup waits there: whoever takes that looks at the ledger afterwards.
local function wake(route)
  if redis.call('LLEN', wakeup_key(route)) > 0 then return end
  local id = string.format('%s-%06d-%s', time[1], time[2], route)
  redis.pcall('LPUSH', wakeup_key(route), string.format(WAKEUP, id, id, id, route, id))
end

-- Have all workers look at rules and orders at once. Where it cannot be written they look a little later.
local function give_notice()
  redis.pcall('XADD', PREFIX .. ':notices', 'MAXLEN', 1, '*', 'n', '')
end
