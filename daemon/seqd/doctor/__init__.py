"""`seqd doctor`: what is wrong with Redis, the fleet and this machine, and what to do about it.

Each area is a module that makes checks: `redis`, `fleet`, `machine`, `store` and `devices`.
`examination` runs them, `findings` says what they find.
"""
