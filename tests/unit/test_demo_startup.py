"""How long the demo waits for its workers, and what it says when it waits in vain."""

import re
import tempfile
from pathlib import Path
from threading import Thread, current_thread

import pytest

from seqd.cli.demo.script import Startup
from seqd.errors import InvalidSettings, WorkersNotReady
from seqd.local.slots import parse_slot
from seqd.local.supervisor import Change, WorkerChange

SLOTS = (parse_slot("cpu:0"), parse_slot("cpu:1"))
LOAD = r"the load of this machine is \d+\.\d on \d+ processors"


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The log of a worker; folders of temporary files are beside it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    log = tmp_path / "logs" / "cpu-0.log"
    log.parent.mkdir()
    log.write_text("importing\n")
    return log


def changed(change: Change, slot: str, log: Path) -> WorkerChange:
    return WorkerChange(change, slot, f"{slot}@here", pid=1, starts=1, log=log)


def test_workers_that_start_slowly_are_waited_for_with_a_word(log):
    said = list[str]()

    def become_ready(sentence: str) -> None:
        said.append(sentence)
        startup.update(changed(Change.READY, "cpu:1", log))

    startup = Startup(SLOTS, become_ready, say_after_s=0.0)
    startup.update(changed(Change.READY, "cpu:0", log))

    startup.wait_until_ready(current_thread())

    (sentence,) = said
    assert re.fullmatch(
        rf"The workers on cpu:1 are still starting after \d+ s; {LOAD}\. They are waited for, up "
        r"to 900 s\.",
        sentence,
    )


def test_workers_that_are_never_ready_are_no_wrong_setting_and_their_logs_are_kept(log):
    startup = Startup(SLOTS, print, limit_s=0.0)
    startup.update(changed(Change.STARTED, "cpu:0", log))

    with pytest.raises(WorkersNotReady) as failed:
        startup.wait_until_ready(current_thread())

    said = re.fullmatch(
        rf"the workers on cpu:0, cpu:1 did not get ready within \d+ s; {LOAD}\. Their logs are "
        r"kept in (.+)\. Try again when the machine is less busy, or with one worker: "
        r"SEQD_SLOTS=cpu:0\.",
        str(failed.value),
    )
    assert said is not None
    assert (Path(said[1]) / log.name).read_text() == "importing\n"


@pytest.mark.parametrize(
    ("change", "error"), [(Change.GAVE_UP, InvalidSettings), (Change.DIED, WorkersNotReady)]
)
def test_a_worker_that_has_ended_is_told_with_the_end_of_its_log(log, change, error):
    supervisor = Thread()  # it has ended, too
    startup = Startup(SLOTS, print)
    startup.update(changed(change, "cpu:0", log))

    with pytest.raises(error, match=f"The one on cpu:0 {change}. Its log ends with:\nimporting\n"):
        startup.wait_until_ready(supervisor)
