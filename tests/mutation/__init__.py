"""Breaks seqd and its plugins at random places, and sees whether a test notices.

By hand, on a machine that does nothing else: `make mutate PLACES=40 SEED=1`, with options in
`MUTATE="--minutes 30 --areas cli,doctor"`. Knows Python and Lua.

A place is a line, drawn by the seed in each area, and one of its possible mistakes: a comparison
turned or moved by one, `and` for `or`, a negated condition, a removed statement (`redis.call`
included), another constant, no return value, swapped or dropped arguments, other arithmetic. More
places begin with those of fewer, and a change of the source draws others on its own lines alone.

Which tests can notice is measured first: all blocks of all sources are marked in a copy, and a
quick test is related to those that it enters: in its own process, in a worker, in a command or
another child, or in a script (which writes it into the server's log). A place outside all functions
belongs to the blocks that name its class or constant. So does one in a function that Numba
compiles, where a mark cannot stand. A test file is measured again when it, or a source that it
enters, has changed; `--old-map` takes the map as it is.

Related tests run in turn, the quickest of each file first, and end at the first that fails: those
that start nothing and take 20 s together, then up to 12 others that take 30 s. One of these that
fails must fail twice. `caught` and `timed out` are found, `survived` and `unreached` (no quick test
enters the block) are not. `perhaps` marks those that may make no difference.

`.mutation/` has the map, each verdict as a line of JSON (`seed-1.jsonl`), and the report, which
`--report` prints. A run that was stopped goes on with the next place; `--again` breaks those again
that nobody has noticed. Ctrl-C and SIGTERM end all that it has started.

mutmut and cosmic-ray, the two tools for Python that are kept up, know no Lua, which is half of the
ledger. mutmut relates tests to the functions that pytest's own process calls, and workers are other
processes; cosmic-ray runs one command for all places.
"""
