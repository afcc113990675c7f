"""Measures seqd beside what a user would pick instead, in one interleaved run, on this machine.

A bench starts a daemon of its own in a temporary folder and its peers as processes of their own,
and ends exactly these. `rounds` has the order and the statistics, `daemon` and `peer` the two
sides, `report` what comes out. Called by `seqd.cli.bench`; no other room imports it.
"""
