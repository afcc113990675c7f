"""Breaks the ledger, the worker and the client at random places, and sees whether a test notices.

By hand, by `make mutate`; tests/README.md explains it. Knows Python and Lua.
"""
