"""Work without an end on real hosts, disturbed or not, and what must come out of it.

`fleet` are the hosts, `work` what they get to do, `faults` what happens to them, and `judgement`
what must hold all the same: `tests/images` judges by it, too. `sampling` and `curves`
say whether anything grows. `make chaos` and `make soak` run it.
"""
