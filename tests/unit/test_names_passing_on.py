"""Wakeups for versions of named models that another worker can run are passed on to it."""

from types import SimpleNamespace

from seqd.worker.passing_on import PassedOn
from seqd_schemas import WorkerState


def test_wakeups_for_named_models_are_passed_on() -> None:
    sent: list[tuple[str, ...]] = []
    other = SimpleNamespace(
        worker="w2",
        state=WorkerState.READY,
        tasks=("classify", "train"),
        versions={"echo": (1,), "topics": (1, 2), "words": (1,), "moods": (1,)},
        left_out=("moods",),
    )
    catalog = {
        "echo": SimpleNamespace(made_with=None),
        "moods": SimpleNamespace(made_with="echo"),
        "topics": SimpleNamespace(made_with="echo"),
        "words": SimpleNamespace(made_with="words"),
    }
    context = SimpleNamespace(
        identity=SimpleNamespace(name="w1"),
        routes=("classify.echo", "train.echo"),
        may_claim=lambda: True,
        queues=lambda: ["classify.echo", "classify.echo@1", "classify.echo:topics@1"],
        ledger=SimpleNamespace(
            fleet=SimpleNamespace(workers=lambda: [other], catalog=lambda: catalog),
            work=SimpleNamespace(notify_where_due=sent.append),
        ),
    )

    PassedOn(context).pass_on()  # type: ignore[arg-type]

    assert sent == [("classify.echo:topics@2", "train.echo", "train.echo:echo")]
