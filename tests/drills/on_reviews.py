"""`python -m drills.on_reviews FILE`: the drain and the rolling restart with real reviews.

`FILE` is a gzip file of JSON lines with a `text` each.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from checkout import use_checkout
from drills import drain, rolling_restart
from drills.load import Model
from drills.result import table


def main(arguments: Sequence[str]) -> int:
    """Run both; return the exit status."""
    use_checkout()
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        print(__doc__, file=sys.stderr)
        return 2
    model = Model("imdb_lstm", Path(arguments[0]))
    results = [drain.run(model), rolling_restart.run(model)]
    print(table(results))
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
