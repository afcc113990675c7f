"""Sees a training through: epochs and samples as they come, and its version at the end.

Shared by `seqd train`, `seqd jobs watch` and the demo.
"""

from seqd.cli.rendering.screen import Screen
from seqd.cli.rendering.summary import say_training_summary
from seqd.cli.rendering.tables import print_json
from seqd.cli.rendering.training_view import TrainingView
from seqd.client import Client, JobHandle
from seqd_schemas import TrainingResult


def see_training_through(
    client: Client,
    handle: JobHandle,
    screen: Screen,
    *,
    as_json: bool,
    says_what_next: bool = True,
) -> TrainingResult:
    """Show a training to its end; raises JobFailed, JobCancelled, and what the input raised."""
    with TrainingView(screen, handle.record()) as view:
        for event in handle.events():
            view.show(event)
    record = handle.wait()
    assert record.training is not None, "the ledger completes a training with its version only"
    if as_json:
        print_json(record.training)
    else:
        entry = client.catalog().get(record.model) if says_what_next else None
        say_training_summary(screen, record.training, frozenset(entry.tasks if entry else ()))
    return record.training
