"""Half an hour of mixed work, and whether anything grows: `make soak`.

Real hosts, a real Redis, ten kinds of work side by side: small jobs, bulk, files, streams,
trainings, cancels, items that raise, items that kill their process, the inbox, clients that come
and go. Every five seconds it notes the memory, open files and threads of each process, Redis, the
logs, and the files on the disk. A table at the end says of each curve whether it was flat after the
warm-up, and a picture shows them. Exits 1 when one rises, or when a job came out wrong.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from checkout import use_checkout
from soak.curves import Soak, Verdict
from soak.hosts import hosts
from soak.picture import draw
from soak.sampling import Sampler
from soak.traffic import Traffic

#: Settings of both hosts. Logs are short, so that they are set aside within the time.
SETTINGS = {"SEQD_MAX_LOG_BYTES": "65536", "SEQD_LOG_FILES": "2"}

#: Curves without which a soak says nothing.
ALWAYS_THERE = (
    "client, MB",
    "redis, MB",
    "first cpu:0 child, MB",
    "first cpu:1 child, MB",
    "first train@cpu child, MB",
    "second cpu:0 parent, MB",
    "logs, MB",
    "files",
)


def main() -> int:
    """Read the command line; returns the exit status."""
    use_checkout()
    asked = _parser().parse_args()
    soak = _run(asked.minutes * 60, asked.warm_up_minutes * 60, asked.every_s)
    if asked.figures:
        soak.write(asked.figures)
    if soak.seconds:
        draw(soak, asked.picture)
    for kind, count in sorted(soak.items.items()):
        print(f"{kind:<18}{count:>12,} items")
    for fault in soak.faults:
        print(fault, file=sys.stderr)
    verdicts = soak.verdicts()
    _print(verdicts)
    if unseen := [name for name in ALWAYS_THERE if name not in soak.curves]:
        print(f"never seen: {', '.join(unseen)}", file=sys.stderr)
    print(f"picture: {asked.picture}")
    is_well = not soak.faults and not unseen and all(verdict.is_flat for verdict in verdicts)
    return 0 if is_well and verdicts else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm-up-minutes", type=float, default=8.0)
    parser.add_argument("--every-s", type=float, default=5.0, help="seconds between two samples")
    parser.add_argument("--picture", type=Path, default=Path("soak.png"))
    parser.add_argument("--figures", type=Path, help="write all curves there, as JSON")
    return parser


def _run(lasts_s: float, warm_up_s: float, every_s: float) -> Soak:
    soak = Soak(warm_up_s)
    with tempfile.TemporaryDirectory() as name, hosts(Path(name), SETTINGS) as running:
        traffic = Traffic(running, Path(name))
        sampler = Sampler(running, traffic)
        began = time.monotonic()
        with traffic.running():
            while (second := time.monotonic() - began) < lasts_s:
                soak.add(second, sampler.sample(second))
                if not traffic.wait(every_s):
                    break
                if len(soak.seconds) % 12 == 0:
                    done = sum(traffic.items.values())
                    print(f"{second / 60:5.1f} min, {done:,} items", flush=True)
        soak.items, soak.faults = dict(traffic.items), traffic.faults
    return soak


def _print(verdicts: list[Verdict]) -> None:
    print(f"{'after the warm-up':<38}{'median':>12}{'rise':>12}{'tolerance':>12}")
    for one in verdicts:
        word = "flat" if one.is_flat else "RISES"
        print(f"{one.name:<38}{one.median:12,.1f}{one.rise:12,.1f}{one.tolerance:12,.1f}  {word}")


if __name__ == "__main__":
    sys.exit(main())
