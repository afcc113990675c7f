"""The worker: one Celery node for one slot.

`node` is the parent process: it boots, listens for wakeups and never computes. Its pool child
runs `runtime`, which claims units and hands each to `item_units`, `training` or `ingest`.
Beside the listening, the parent does two chores for the whole fleet, in threads of its own:
`reconciler` and `inbox`. Started by `seqd worker`.
"""
