"""`markov` that mixes contexts: its distribution, what it learns and writes, files, mistakes."""

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from markov_builders import MARKOV, a_generator, generated, measured, sample_of, trained
from seqd.errors import ArtifactDamaged, InvalidData, LibraryMissing, Stopped
from seqd.inputs.datasets import TextDataset
from seqd.testing import CPU, MemoryCheckpoints, MemoryRunContext, MemoryTrainContext
from seqd_markov import TrainParameters

TEXT = "The cat sat on the mat.\nThe rat sat on the cat. A cat and a rat sat on a mat.\n" * 3
MIXING = {"smoothing": "mixing"}
FILE = "mixture.safetensors"


def a_mixture(text: str = TEXT):
    return a_generator(text, **MIXING)


def bits(text, generator):
    """The code length of a text, altogether."""
    return measured(text, generator)["bits_per_char"] * len(text)


# What it predicts


@settings(max_examples=25)
@given(st.text("abc \n", min_size=2, max_size=60), st.text("abcd \n", max_size=20))
def test_all_that_may_follow_a_text_has_a_probability_of_one_together(corpus, before):
    known = set(corpus)
    if len(known) < 2 or corpus.isspace() or not known & set(before):
        return
    generator = a_generator.__wrapped__(corpus, **MIXING)
    start = bits(before, generator)

    shares = [2 ** (start - bits(before + one, generator)) for one in [*known, "日"]]

    others = 0x110000 - len(known) - 1  # unknown characters are as probable as each other
    assert math.fsum([*shares, others * shares[-1]]) == pytest.approx(1.0)


def test_a_character_is_drawn_as_often_as_it_is_probable():
    generator, prompt = a_mixture(), "the "
    after = bits(prompt, generator)
    known = {one: 2 ** (after - bits(prompt + one, generator)) for one in sorted(set(TEXT.lower()))}

    for parameters in ({}, {"temperature": 1.0000001}):
        (outcome,) = generated(prompt, generator=generator, length=1, samples=64, **parameters)
        (other,) = generated(
            prompt, generator=generator, length=1, samples=64, seed=1, **parameters
        )
        drawn = [sample.text for sample in (*outcome.samples, *other.samples)]

        for one, share in known.items():
            spread = 4 * math.sqrt(128 * share * (1 - share)) + 1
            assert abs(drawn.count(one) - 128 * share) < spread
        for sample in outcome.samples:
            assert math.exp(sample.mean_log_prob) == pytest.approx(known[sample.text], rel=0.01)


def test_it_predicts_better_than_a_chain_and_better_still_where_it_adapts():
    generator, chain = a_mixture(), a_generator(TEXT, order=5)
    other = "a dog and a hog sat on a log. " * 8

    still = measured(TEXT, generator)["bits_per_char"]
    context = MemoryRunContext()
    adapted = generator.measure_adapting(other, context)

    assert still < measured(TEXT, chain)["bits_per_char"] + 0.5
    assert adapted["bits_per_char"] < measured(other, generator)["bits_per_char"] - 0.3
    assert adapted["unknown_share"] == measured(other, generator)["unknown_share"] > 0
    assert sum(batch.real_tokens for batch in context.batches) == len(other)
    assert measured(TEXT, generator)["bits_per_char"] == still  # it has forgotten the other
    with pytest.raises(NotImplementedError):
        chain.measure_adapting(other, MemoryRunContext())


# What it writes


def test_temperature_top_k_and_top_p_leave_the_most_probable():
    generator = a_mixture()

    first = sample_of("the ", generator, length=40, temperature=0.0)
    for cut in ({"top_k": 1}, {"top_p": 1e-9}, {"temperature": 1e-3}):
        assert sample_of("the ", generator, length=40, seed=5, **cut).text == first.text
    (two,) = generated("the ", generator=generator, length=1, samples=64, top_k=2, temperature=3.0)
    assert len({sample.text for sample in two.samples}) == 2
    assert {sample.text for sample in two.samples} > {first.text[0]}


def test_an_outcome_does_not_depend_on_its_batch():
    generator = a_mixture()
    prompts = ["t", "", "日", "the cat", *["the "] * 4]
    parameters = {"length": 300, "temperature": [0.7, 1.0], "samples": 2, "seed": 3, "stop": "rat."}
    context = MemoryRunContext()

    together = generated(*prompts, generator=generator, context=context, **parameters)

    for index in range(len(prompts)):
        alone = generated(prompts[index], generator=generator, first=index, **parameters)
        assert alone == [together[index]]
        for place, sample in enumerate(together[index].samples):
            assert context.streamed_text(index, place) == sample.text
    assert together[2].unknown_characters == 1
    assert together[4].samples != together[5].samples


def test_what_may_follow_is_shown(tmp_path):
    artifact = trained(tmp_path, TEXT, **MIXING)

    (after,), (first,) = (MARKOV.inspect(artifact, focus) for focus in ("on th", None))

    assert after.title == "After 'on th': the 14 most probable of 14 characters"
    assert after.rows[0][0] == "'e'" and after.rows[0][1] > 0.5
    assert sum(row[1] for row in first.rows) == pytest.approx(1.0, abs=0.01)


# Training


def test_a_training_that_goes_on_from_a_checkpoint_makes_the_same_version(tmp_path):
    parameters = TrainParameters.model_validate(MIXING)
    whole = MemoryTrainContext(tmp_path / "whole", TextDataset(TEXT, "a test"))
    MARKOV.train(parameters, whole)
    asked, kept = whole.stop_questions, MemoryCheckpoints()
    for folder, stop_after in (("stopped", asked - 6), ("resumed", None)):
        context = MemoryTrainContext(
            tmp_path / folder,
            TextDataset(TEXT, "a test"),
            checkpoints=kept,
            stop_after=stop_after,
        )
        if stop_after is None:
            MARKOV.train(parameters, context)
        else:
            with pytest.raises(Stopped, match=r"stopped after [\d,]+ of [\d,]+ characters"):
                MARKOV.train(parameters, context)
            assert not list(context.folder.iterdir())

    assert (kept.saves, kept.resumes) == (1, 1)
    assert context.steps[-1].done == context.steps[-1].total
    for name in (FILE, "config.json"):
        files = [tmp_path / folder / name for folder in ("whole", "resumed")]
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no record; at least one is due"),
        ("aaaa", "has 4 characters, 1 of them different; a chain needs 2"),
        (
            "".join(map(chr, range(0x3400, 0x3400 + 30_000))),
            "has 27,000 characters, 27,000 of them different; smoothing=mixing takes 10,000,000 "
            "and 10,000 at most. Give a part of it, or train with smoothing=kneser_ney",
        ),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_and_leaves_nothing(tmp_path, text, message):
    context = MemoryTrainContext(tmp_path, TextDataset(text, "a test"))

    with pytest.raises(InvalidData, match=message):
        MARKOV.train(TrainParameters.model_validate(MIXING), context)

    assert not list(tmp_path.iterdir())


def test_where_there_is_no_numba_it_says_what_to_install_and_what_to_do_without(
    tmp_path, monkeypatch
):
    artifact = trained(tmp_path / "1", "ab", **MIXING)
    monkeypatch.setattr("seqd_markov.model.can_compile", lambda: False)

    for call in (
        lambda: trained(tmp_path / "2", "ab", **MIXING),
        lambda: MARKOV.load(artifact, CPU),
    ):
        with pytest.raises(
            LibraryMissing, match=r"Install seqd\[serve\], or train with smoothing="
        ):
            call()


def test_two_characters_are_learnt_from(tmp_path):
    generator = MARKOV.load(trained(tmp_path, "ab", **MIXING), CPU)

    assert set(sample_of("a", generator, length=100).text) == {"a", "b"}


@pytest.mark.parametrize(
    "other",
    [
        {"level": "words"},
        {"sentences": True},
        {"min_count": 2},
        {"keep_text": False},
        {"label_weights": ["a=2"]},
    ],
    ids=str,
)
def test_what_does_not_go_with_mixing_is_refused_by_its_name(other):
    with pytest.raises(ValidationError, match=rf"mixing does not go with {next(iter(other))}"):
        TrainParameters.model_validate(MIXING | other)


# Files


def packed(row: np.ndarray) -> np.ndarray:
    """A row as a version has it: its type's number, and its bytes, first ones first, deflated."""
    number = {"i8": 7, "u1": 0, "f4": 9}[row.dtype.str[1:]]
    planes = row.view(np.uint8).reshape(len(row), -1).T
    return np.frombuffer(bytes([number]) + zlib.compress(planes.tobytes()), np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"more": np.ones(1, np.uint8)}, "'more'.* are there; due are"),
        ({"key_steps": packed(np.full(3, -1))}, "'key_steps' has numbers from -1 to -1"),
        ({"key_steps": packed(np.full(3, 2**30))}, "a key above 31 bits"),
        ({"key_steps": packed(np.zeros(3, np.uint8))}, "are not of one model"),
        ({"text": np.ones(3, np.int8)}, "due is packed bytes"),
        ({"joints": packed(np.ones(4, np.float32))}, "'joints' is float32 of 4 numbers"),
        ({"match_probabilities": packed(np.full(32, np.nan, np.float32))}, "are no numbers"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arrays_that_do_not_fit_together_are_damage(tmp_path: Path, changes, message):
    artifact = trained(tmp_path, "abab", **MIXING)
    path = artifact.folder / FILE
    save_file(load_file(path) | changes, path)

    with pytest.raises(ArtifactDamaged, match=rf"^{FILE}: .*{message}.*Train the model again"):
        MARKOV.load(artifact, CPU)


def test_the_counts_of_another_text_are_damage(tmp_path):
    one, other = trained(tmp_path / "1", "abab", **MIXING), trained(tmp_path / "2", TEXT, **MIXING)
    text = load_file(trained(tmp_path / "3", "ababab", **MIXING).folder / FILE)["text"]
    save_file(load_file(one.folder / FILE) | {"text": text}, one.folder / FILE)
    (other.folder / "config.json").write_bytes((one.folder / "config.json").read_bytes())

    with pytest.raises(ArtifactDamaged, match="'counts' are not those of the text"):
        MARKOV.load(one, CPU)
    with pytest.raises(ArtifactDamaged, match="possible are 0 to 1"):
        MARKOV.load(other, CPU)
