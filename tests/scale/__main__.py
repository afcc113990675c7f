"""`make scale-picture`: play all loads, print a table, and draw pods over time."""

import argparse
from pathlib import Path

from scale.autoscaler import ScaledObject
from scale.loads import loads
from scale.picture import draw
from scale.simulation import simulate


def main() -> None:
    """Play, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, default=Path("scale.png"), help="File to write.")
    parser.add_argument(
        "--target-s", type=float, default=ScaledObject.target_s, help="KEDA's threshold."
    )
    parser.add_argument("--max-replicas", type=int, default=ScaledObject.max_replicas)
    given = parser.parse_args()
    spec = ScaledObject(target_s=given.target_s, max_replicas=given.max_replicas)
    courses = [simulate(load, spec) for load in loads()]
    print(
        "| load | work | pods, most | pods, in all | turns | from zero | busy ended | longest end |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for course in courses:
        busy = course.busy_endings
        print(
            f"| {course.load.name} | {course.load.work_s / 60:.0f} min | {max(course.replicas)} "
            f"| {course.pod_s / 60:.0f} min | {course.turns} | {course.wakes} | {len(busy)} "
            f"| {max((ending.took_s for ending in busy), default=0):.0f} s |"
        )
    draw(courses, spec, given.picture)
    print(f"\n{given.picture}")


if __name__ == "__main__":
    main()
