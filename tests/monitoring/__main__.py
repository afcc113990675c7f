"""`make monitoring` and `make dashboard-picture`: write what is made of `docker/monitoring`."""

import argparse
from pathlib import Path

from monitoring.files import write_prometheus_rule


def main() -> None:
    """Write the rules for the Prometheus Operator; with --picture, draw the dashboard instead."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, help="File to draw the dashboard into.")
    given = parser.parse_args()
    if given.picture is None:
        write_prometheus_rule()
        return
    from monitoring.picture import draw
    from monitoring.scenario import played

    with played() as (fleet, began_s, ended_s):
        draw(fleet.prometheus, began_s, ended_s, given.picture)
    print(given.picture)


if __name__ == "__main__":
    main()
