"""Pulls plugs at random while a job runs, and counts what came out: `make chaos`.

Real processes, real signals, two hosts with `seqd up`, the first with the embedded Redis. It is
killed, and made read-only for a while; the second host's model store is taken away. The schedule
of faults is seeded and printed as it goes; a table at the end says what went in, what came out,
and what it cost. Exits 1 when an item is lost, doubled, out of order or wrong, when a fault did
not come, or when memory went beyond its limits. Not a test of speed.

Without --reviews it is 1,000,000 items on a light plugin, in one job. With it, real reviews on
imdb_lstm: a job takes seconds, so the same reviews are handed in again until every fault has
come, and each label must be what an undisturbed job gave.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from chaos.faults import COUNTS
from chaos.loads import Light, Load, Reviews
from chaos.report import Outcome, print_rows, print_table
from chaos.run import run_under_faults
from checkout import use_checkout


def main() -> int:
    """Read the command line; returns the exit status."""
    use_checkout()
    asked = _parser().parse_args()
    seeds = asked.seeds or [asked.seed]
    if len(seeds) > 1:
        outcomes = [_in_a_process_of_its_own(seed) for seed in seeds]
        print_table(outcomes)
        return 0 if all(outcome.passed for outcome in outcomes) else 1
    outcome = run_under_faults(_load(asked), _counts(asked.faults), asked.slots, seeds[0])
    print_rows(outcome)
    if asked.outcome:
        outcome.write(asked.outcome)
    return 0 if outcome.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, help="1,000,000, or all reviews, by default")
    parser.add_argument("--slots", type=int, default=4, help="one of them on the second host")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", help="several runs, and a table of them")
    parser.add_argument("--unit-ms", type=float, default=300.0, help="pace of the light plugin")
    parser.add_argument("--faults", help="such as kill_group=2,kill_redis=1; all by default")
    parser.add_argument(
        "--jobs-at-most", type=int, default=1, help="of the light plugin, to get all faults in"
    )
    parser.add_argument(
        "--pause-s", type=float, default=3.0, help="longest wait between faults, light plugin"
    )
    reviews = parser.add_mutually_exclusive_group()
    reviews.add_argument("--reviews", type=Path, help="JSON Lines, gzipped: id, text, label")
    reviews.add_argument("--composed-reviews", type=int, metavar="N", help="N reviews made up")
    parser.add_argument("--outcome", type=Path, help="write one seed's figures there, as JSON")
    return parser


def _load(asked: argparse.Namespace) -> Load:
    if asked.reviews:
        return Reviews.from_file(asked.reviews, asked.items)
    if asked.composed_reviews:
        return Reviews.composed(asked.composed_reviews)
    items = asked.items or 1_000_000
    return Light(items, asked.unit_ms, asked.jobs_at_most, asked.pause_s)


def _counts(asked: str | None) -> dict[str, int]:
    if asked is None:
        return COUNTS
    pairs = dict(pair.split("=") for pair in asked.split(","))
    if unknown := set(pairs) - set(COUNTS):
        sys.exit(f"--faults: there is no {sorted(unknown)[0]!r}; there are {', '.join(COUNTS)}")
    return {name: int(count) for name, count in pairs.items()}


def _in_a_process_of_its_own(seed: int) -> Outcome:
    """Run one seed as its own client, so that the memory of each is its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcome.json"
        # Of an option that is given twice, the last one counts; --seeds with one seed is a run.
        more = ["--seeds", str(seed), "--outcome", str(path)]
        ended = subprocess.run([sys.executable, *sys.argv, *more])
        if not path.exists():
            sys.exit(f"the run of seed {seed} broke off with status {ended.returncode}")
        return Outcome.read(path)


if __name__ == "__main__":
    sys.exit(main())
