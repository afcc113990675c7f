"""The worker: one Celery node for one slot, a parent process and its pool child.

The parent (`node`) listens for wakeups and never computes. Its child (`child`) claims units from
the ledger and hands each claim to `items`, `training` or `ingest`. Beside listening, the parent
runs periodic tasks in threads: the reconciler and the inbox for the whole fleet, the watchdog for
its own child.
"""
