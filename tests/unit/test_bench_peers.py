"""Peers as processes: asked, answered, missing a library, failing, ended."""

import os

import pytest

from seqd.bench.daemon import clean_environment
from seqd.bench.extras import left_out
from seqd.bench.peer import Peer
from seqd.errors import SeqdError

pytestmark = pytest.mark.processes

PRODUCT = "seqd.bench.peers.matrix_product"


@pytest.fixture
def environment(tmp_path):
    """Variables of a peer, with a folder for modules of the test's own."""
    return clean_environment() | {"PYTHONPATH": str(tmp_path)}


def a_module(folder, body: str) -> str:
    """Write a program that speaks the protocol; gives its name."""
    lines = ["from seqd.bench.peers.protocol import serve", "def run(asked):"]
    lines += [f"    {line}" for line in body.splitlines()]
    (folder / "a_peer_of_a_test.py").write_text("\n".join([*lines, 'serve({"run": run})']))
    return "a_peer_of_a_test"


def test_a_peer_answers_each_question(tmp_path, environment):
    with Peer(PRODUCT, tmp_path, environment) as peer:
        answers = [peer.ask("run", rows=8, units=4, seconds=0.01) for _ in range(2)]

    assert all(answer["flop_per_s"] > 0 for answer in answers)


def test_several_peers_work_at_once(tmp_path, environment):
    module = a_module(tmp_path, "import os; return {'pid': os.getpid()}")

    with Peer(module, tmp_path, environment) as one, Peer(module, tmp_path, environment) as other:
        for peer in (one, other):
            peer.begin("run")
        pids = {peer.answer()["pid"] for peer in (one, other)}

    assert len(pids) == 2


def test_what_a_library_prints_is_no_answer(tmp_path, environment):
    module = a_module(tmp_path, "print('from a library'); return {'is': 'an answer'}")

    with Peer(module, tmp_path, environment) as peer:
        assert peer.ask("run") == {"is": "an answer"}


def test_a_missing_library_is_named(tmp_path, environment):
    module = a_module(tmp_path, "import there_is_no_such_library")

    with Peer(module, tmp_path, environment) as peer, pytest.raises(ModuleNotFoundError) as raised:
        peer.ask("run")

    assert left_out("ONNX Runtime", str(raised.value.name), "bench") == (
        "ONNX Runtime left out: there_is_no_such_library is not installed "
        "(pip install 'seqd[bench]')"
    )


def test_a_peer_that_fails_shows_the_end_of_its_log(tmp_path, environment):
    module = a_module(tmp_path, "raise ValueError('this went wrong')")

    with Peer(module, tmp_path, environment) as peer, pytest.raises(SeqdError) as raised:
        peer.ask("run")

    message = str(raised.value)
    assert message.startswith(f"The bench's program {module} ended without an answer. Its log ends")
    assert message.endswith("ValueError: this went wrong")


def test_a_peer_that_does_not_answer_in_time_is_told_of(tmp_path, environment):
    module = a_module(tmp_path, "import time; time.sleep(600)")

    with Peer(module, tmp_path, environment) as peer, pytest.raises(SeqdError) as raised:
        peer.begin("run")
        peer.answer(timeout_s=0.2)

    assert "gave no answer within 0.2 s" in str(raised.value)


def test_a_peer_at_work_is_ended_with_its_block(tmp_path, environment):
    module = a_module(tmp_path, "import os, time; print(os.getpid()); time.sleep(600)")

    with Peer(module, tmp_path, environment) as peer:
        peer.begin("run")
        pid = peer.pid

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_peer_gets_no_setting_of_the_caller(monkeypatch):
    monkeypatch.setenv("SEQD_REDIS_URL", "redis://somewhere.else:6379/0")

    assert not [name for name in clean_environment() if name.startswith("SEQD_")]
