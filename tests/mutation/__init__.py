"""Breaks seqd and its plugins at random places, and sees whether a test notices.

By hand, on a machine that does nothing else: `make mutate PLACES=40 SEED=1`, with options in
`MUTATE="--minutes 30 --areas cli,doctor"`. Knows Python and Lua.

A place is a line, drawn by the seed in each area, and one of its possible mistakes: a comparison
turned or moved by one, `and` for `or`, a negated condition, a removed statement (`redis.call`
included), another constant, no return value, swapped or dropped arguments, other arithmetic. More
places begin with those of fewer, and a change of the source draws others on its own lines alone.

The table in `__main__.py` says which tests an area has. Of these the quick ones run in turn, first
the files whose names have most words of the broken file's path, and end at the first that fails; it
must fail twice. `caught` and `timed out` are found, `survived` is not. `perhaps` marks those that
may make no difference.

`.mutation/` has each verdict as a line of JSON (`seed-1.jsonl`), and the report, which `--report`
prints. A run that was stopped goes on with the next place; `--again` breaks those again that nobody
has noticed. Ctrl-C and SIGTERM end all that it has started.

mutmut and cosmic-ray, the two tools for Python that are kept up, know no Lua, which is half of the
ledger. mutmut relates tests to the functions that pytest's own process calls, and workers are other
processes; cosmic-ray runs one command for all places.
"""
