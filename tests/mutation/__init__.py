"""Breaks seqd and its plugins at random places, and sees whether a test notices.

By hand, by `make mutate`; tests/README.md explains it. Knows Python and Lua.
"""
