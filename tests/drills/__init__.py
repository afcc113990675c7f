"""Drills on several hosts: `python -m drills`, and what of it the tests run.

A program and no tests, as its figures are read: `network` has the hosts, `world` what runs on them,
`drills` what is done to them. README.md beside this has a table of figures.
"""
