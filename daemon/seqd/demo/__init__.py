"""`seqd demo`: the main job shown on the machine at hand, with real workers and a real Redis.

`reviews` and `text` compose the input, so that nothing is downloaded; `stage` starts and
stops the daemon; `tour` is the demo itself, step by step. Called by `seqd.cli.demo`.
"""

from seqd.demo.tour import run_demo

__all__ = ["run_demo"]
