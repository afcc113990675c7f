"""What a plugin reports is checked where it is handed over: a fault is named, the rest stands."""

import logging
from pathlib import Path

import pytest

from builders import a_train_job
from seqd.analysis.curves import LearningCurve
from seqd.errors import PluginFault
from seqd.inputs.datasets import NamedDataset
from seqd.ledger.units import Unit
from seqd.testing import CPU, MemoryCheckpoints
from seqd.worker.counting import WorkerStats
from seqd.worker.items import WorkerRunContext
from seqd.worker.training.run import Run, TrainingData, WorkerTrainContext
from seqd_schemas import EVENT, Event

NAN = float("nan")


class Reports:
    """A training's context, and the events that came of what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        unit = Unit("job-1", "train", attempt=1, crashes=0, blob=b"", started_job=True)
        self.context = WorkerTrainContext(
            device=CPU,
            folder=Path("unused"),
            checkpoints=MemoryCheckpoints(),
            curve=LearningCurve(),
            _run=Run(a_train_job(), unit),
            _data=TrainingData(NamedDataset("keras:imdb"), None),
            _publish=self.events.append,
            _stop=lambda: False,
        )


@pytest.mark.parametrize(
    ("method", "arguments", "metrics", "fault"),
    [
        ("epoch", (0, 3, 1.0), {}, "epoch is 0: Input should be greater than or equal to 1"),
        ("epoch", (1, 3, 1.0), {"loss": "low"}, "TypeError: must be real number, not str"),
        ("epoch", (1, 3, 1.0), {"Loss": 0.5}, "metrics.Loss.[key] is 'Loss': String should match"),
        ("step", (-1, 3), {}, "done is -1: Input should be greater than or equal to 0"),
        ("sample", (1, 1.0, "a", None), {}, "AttributeError: 'NoneType' object has no attribute"),
        ("log", (b"abc",), {}, "AttributeError: 'bytes' object has no attribute 'encode'"),
        (
            "fingerprint",
            (1, "0" * 64, {"good": -1}),
            {},
            "classes.good is -1: Input should be greater than or",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_report_that_no_event_can_hold_names_the_method_and_the_fault(
    method, arguments, metrics, fault
):
    reports = Reports()

    with pytest.raises(PluginFault) as refusal:
        getattr(reports.context, method)(*arguments, **metrics)

    assert str(refusal.value).startswith(
        f"The training reports what cannot be published, by context.{method}(): {fault}"
    )
    assert reports.events == []


def test_a_text_for_people_may_hold_what_utf8_cannot():
    reports = Reports()

    reports.context.sample(1, 1.0, "a\ud800", "b" * 5_000)
    reports.context.log("c\ud800")

    assert [EVENT.validate_json(event.model_dump_json()) for event in reports.events] == (
        reports.events
    )
    sample, line = reports.events
    assert (sample.prompt, len(sample.text), line.message) == ("a\\ud800", 4_096, "c\\ud800")


@pytest.mark.parametrize(
    "wrong",
    [{"items": -1}, {"real_tokens": 2.5}, {"compute_s": NAN}, {"vectorise_s": "long"}],
    ids=str,
)
def test_a_batch_that_cannot_be_counted_is_left_out_of_the_status(caplog, wrong):
    stats = WorkerStats()
    context = WorkerRunContext(CPU, lambda: False, stats)
    batch = {"items": 4, "real_tokens": 8, "computed_tokens": 8, "vectorise_s": 0.5, "compute_s": 1}

    with caplog.at_level(logging.WARNING):
        context.batch(**batch | wrong)
    context.batch(**batch)

    assert "a batch was not counted: the plugin says" in caplog.text
    totals = stats.totals()
    assert (totals.batches, totals.batch_items, totals.compute_s) == (1, 4, 1.0)
