"""`python -m model`: new walks by a seed, until the time is over or one ends elsewhere."""

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

from checkout import use_checkout

use_checkout()

from clock_fixtures import ClockServer, find_library  # noqa: E402
from model.running import open_adapter, take_walks  # noqa: E402
from seqd.local.redis_binaries import find_server_binaries  # noqa: E402

#: Walks of one seed.
WALKS, STEPS = 8, 50


def main() -> int:
    """Take walks on each server in turn; return 1 where one ended elsewhere than the model."""
    parser = argparse.ArgumentParser(prog="python -m model", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default: 30)")
    parser.add_argument("--seed", type=int, default=1, help="of the first walks (default: 1)")
    asked = parser.parse_args()
    library = find_library()
    if library is None:
        print("libfaketime is not installed here: apt-get install faketime", file=sys.stderr)
        return 2
    end_s, binaries = time.monotonic() + 60 * asked.minutes, find_server_binaries()
    for seed in itertools.count(asked.seed):
        binary = binaries[seed % len(binaries)]
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            server = ClockServer(binary, Path(folder), library)
            try:
                server.start()
                with open_adapter(server) as adapter:
                    take_walks(adapter, walks=WALKS, steps=STEPS, seed=seed)
            except AssertionError:
                print(f"SEED={seed} ends elsewhere on {binary.path}:", file=sys.stderr, flush=True)
                raise
            finally:
                server.stop()
        print(f"seed {seed}: {WALKS} walks on {binary.kind} {binary.version}", flush=True)
        if time.monotonic() >= end_s:
            return 0
    raise AssertionError("seeds have no end")


if __name__ == "__main__":
    sys.exit(main())
