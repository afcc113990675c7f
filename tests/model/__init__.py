"""The reference model: one ledger in plain Python, driven by rules beside real ones.

`ledger` has the state, and what every step shares; one module a domain predicts its operations:
what they return, or the code of their error, and what can be seen afterwards. `adapter` does the
same operations on a real server, and is the only module that imports `seqd.ledger` or reads raw
keys. `machine` compares; the steps are in `client_rules`, `worker_rules` and so on.
"""
