"""A daemon in the process of a test: the real ledger, and a worker that is a thread.

`running` starts and ends it, `models` makes models of functions, `orders` has failures and delays
that a test orders, `worker` is the thread, and `server` the Redis server that all of it is on.
"""
