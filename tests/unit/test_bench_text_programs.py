"""The programs of `seqd bench generate`: ours with the plugins, and the tutorial's loop."""

from pathlib import Path

import pytest

from seqd.bench.peers.python_counting import PythonCounting
from seqd.bench.text_fitting import training_facts
from seqd.bench.text_program import TextProgram
from seqd.demo.text import compose_text


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(compose_text(8_000))
    return path


@pytest.fixture
def program(tmp_path: Path, text: Path) -> TextProgram:
    program = TextProgram()
    store = tmp_path / "store"
    program.prepare({"text": str(text), "store": str(store), "slot": "cpu:0", "threads": 1})
    return program


def test_the_loop_counts_what_follows_each_character(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("Abab b")
    peer = PythonCounting()

    assert peer.prepare({"text": str(path)}) == {"characters": 6}
    assert peer.counts() == {"a": {"b": 2}, "b": {"a": 1, " ": 1}, " ": {"b": 1}}
    answer = peer.run({})
    assert 0 < answer["seconds"] <= answer["whole_s"]
    assert answer["states"] == 3


def test_a_training_is_timed_as_a_whole_and_between_its_steps(program: TextProgram) -> None:
    told = program.fit({"model": "markov", "preset": "best", "parameters": {"order": 3}})

    assert 0 < told["steps_s"] < told["seconds"]
    assert len(told["epochs"]) == len(told["epochs_s"]) == 1
    assert told["epochs"][0]["bits_per_char"] > 0
    assert not told["is_reached"]


def test_a_training_ends_with_the_epoch_whose_loss_is_low_enough(program: TextProgram) -> None:
    small = {"epochs": 3, "units": 8, "streams": 4, "steps": 16, "sample_length": 0}

    told = program.fit(
        {"model": "char_lstm", "preset": "fast", "parameters": small, "until": 100.0}
    )

    assert told["is_reached"]
    assert len(told["epochs"]) == len(told["epochs_s"]) == 1


def test_a_version_is_trained_written_with_and_measured(program: TextProgram) -> None:
    made = program.publish(
        {"model": "markov", "preset": "best", "parameters": {}, "characters": 6_000}
    )
    model = f"markov@{made['version']}"

    written = program.write(
        {"model": model, "prompts": ["the ", "a "], "first": 2, "parameters": {"length": 30}}
    )
    measured = program.measure({"model": model, "last": 0.1})

    assert made == {"version": 1}
    assert (written["characters"], written["errors"]) == (60, 0)
    assert written["seconds"] > 0
    assert 0 < measured["bits_per_char"] < 4
    assert measured["data_sha256"] != measured["own_sha256"]
    assert measured["held_out"] == 0.1


def test_facts_of_a_training_tell_when_the_loss_was_reached() -> None:
    told = {
        "epochs_s": [1.0, 2.5],
        "epochs": [
            {"loss": 1.5},
            {"loss": 1.41, "validation_loss": 1.39, "validation_bits_per_char": 1.9},
        ],
        "is_reached": True,
    }

    facts = {fact.name: fact.value for fact in training_facts(told, 5.0)}

    assert facts == {
        "epochs": 2,
        "seconds": 2.5,
        "training loss of the last one, with dropout": 1.41,
        "loss of held-out text": 1.39,
        "the same in bits a character": 1.9,
        "the tutorial's script, one epoch": 5.0,
        "its ten epochs to that loss, extrapolated": 50.0,
        "how many times as soon": 20.0,
    }


def test_a_training_that_never_gets_there_is_compared_with_nothing() -> None:
    told = {"epochs_s": [1.0], "epochs": [{"loss": 1.5}], "is_reached": False}

    facts = {fact.name: fact.value for fact in training_facts(told, 5.0)}

    assert facts["training loss of the last one, with dropout"] == 1.5
    assert "how many times as soon" not in facts
    assert len(training_facts(told, None)) == 3
