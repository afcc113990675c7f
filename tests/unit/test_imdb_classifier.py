"""Classification by a tiny random version: outcomes, refusals, and independence of batching."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqd.errors import Stopped
from seqd.hookspecs import Device, WorkItem
from seqd_imdb_lstm import ClassifyParameters
from seqd_imdb_lstm.classifier import LoadedImdbLstm
from seqd_imdb_lstm.engine import engine_for
from seqd_imdb_lstm.reviews import Vocabulary
from seqd_imdb_lstm.version import Version, VersionConfig, Weights, shapes_of
from seqd_schemas import Classification, ItemError

CPU = Device(slot="cpu:0", kind="cpu")


class RunningJob:
    """A run that is asked to stop after so many looks."""

    device = CPU

    def __init__(self, looks: int = 1_000) -> None:
        self.looks = looks

    def stop_requested(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def stream(self, index: int, sample: int, piece: str) -> None:
        raise AssertionError("a classifier streams nothing")


def a_version(max_tokens: int = 8) -> Version:
    config = VersionConfig(
        vocabulary_words=9,
        max_tokens=max_tokens,
        embedding_length=3,
        lstm_units=6,
        labels=("neg", "pos"),
    )
    random = np.random.default_rng(0)
    arrays = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in shapes_of(config).items()
    }
    return Version(config, Vocabulary(["the", "film", "good", "bad", "was"]), Weights(**arrays))


def loaded_of(version: Version) -> LoadedImdbLstm:
    return LoadedImdbLstm(version, engine_for(version, CPU))


VERSION = a_version()
LOADED = loaded_of(VERSION)


def outcomes_of(*texts: str, loaded: LoadedImdbLstm = LOADED, job: RunningJob | None = None):
    items = [WorkItem(index, text) for index, text in enumerate(texts)]
    return list(loaded.classify(items, ClassifyParameters(), job or RunningJob()))


def test_a_review_gets_the_likelier_label_and_its_probability():
    outcomes = outcomes_of("the film was good", "bad bad bad", "good", "was film")

    assert {outcome.label for outcome in outcomes} == {"neg", "pos"}
    assert all(outcome.score >= 0.5 for outcome in outcomes)


def test_the_score_is_the_engines_probability_of_the_label():
    ids = VERSION.vocabulary.encode("bad film", max_tokens=8).ids
    probability = float(engine_for(VERSION, CPU).probabilities([ids])[0])

    (outcome,) = outcomes_of("bad film")

    expected = ("pos", probability) if probability > 0.5 else ("neg", 1.0 - probability)
    assert (outcome.label, outcome.score) == (expected[0], round(expected[1], 5))


def test_a_text_longer_than_the_network_reads_is_marked_and_judged_by_its_end():
    short, long = outcomes_of(
        "was good", "bad bad zzz was good", loaded=loaded_of(a_version(max_tokens=2))
    )

    assert (short.truncated, short.unknown_share) == (False, 0.0)
    assert (long.truncated, long.unknown_share) == (True, 0.2)
    assert (long.label, long.score) == (short.label, short.score)


@pytest.mark.parametrize("text", ["", "   ", "...!?", "\n\t"])
def test_an_item_without_words_is_told_so(text: str):
    (outcome,) = outcomes_of(text)

    assert outcome == ItemError(
        code="invalid_input",
        message="The item's text has no words in it; imdb_lstm needs at least one word that it "
        "knows. Send the review's text, or leave the item out.",
    )


def test_an_item_without_a_known_word_is_told_so():
    (outcome,) = outcomes_of("Das ist nicht Englisch")

    assert outcome == ItemError(
        code="invalid_input",
        message="The model knows no word of the text (4 in all), so its answer would mean nothing. "
        "It knows the frequent words of what it was trained on; is the text in another language "
        "or encoding?",
    )


def test_emoji_nul_and_lone_surrogates_beside_a_known_word_are_classified():
    outcomes = outcomes_of("good \U0001f600", "good \x00", "good \ud800", "good " + "x" * 1_000_000)

    assert [outcome.unknown_share for outcome in outcomes] == [0.5] * 4


def test_bad_items_stay_in_their_place_and_leave_their_neighbours_alone():
    alone = outcomes_of("good film", "bad")

    mixed = outcomes_of("", "good film", "zzz", "bad", "\ud800")

    assert [type(outcome) for outcome in mixed] == (
        [ItemError, Classification, ItemError, Classification, ItemError]
    )
    assert [mixed[1], mixed[3]] == alone


WORDS = ["the", "film", "good", "bad", "was", "zzz", "..."]
TEXTS = st.lists(
    st.lists(st.sampled_from(["the", "film", "good", "bad", "was", "zzz", "..."]), max_size=12).map(
        " ".join
    ),
    min_size=1,
    max_size=30,
)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 30))
def test_an_outcome_does_not_depend_on_how_items_are_batched(texts: list[str], batch_items: int):
    together = outcomes_of(*texts)

    batched = [
        outcome
        for start in range(0, len(texts), batch_items)
        for outcome in outcomes_of(*texts[start : start + batch_items])
    ]

    assert [without_score(outcome) for outcome in batched] == (
        [without_score(outcome) for outcome in together]
    )
    assert scores(batched) == pytest.approx(scores(together), abs=1.5e-5)  # one rounding step


def without_score(outcome: Classification | ItemError) -> Classification | ItemError:
    if isinstance(outcome, Classification):
        return outcome.model_copy(update={"score": 0.0})
    return outcome


def scores(outcomes: list[Classification | ItemError]) -> list[float]:
    return [outcome.score for outcome in outcomes if isinstance(outcome, Classification)]


def test_a_stop_is_honoured_within_one_batch():
    with pytest.raises(Stopped, match=r"^The classification was asked to stop\.$"):
        outcomes_of(*["good"] * 600, job=RunningJob(looks=1))

    assert len(outcomes_of(*["good"] * 512, job=RunningJob(looks=1))) == 512


def test_no_items_have_no_outcomes():
    assert outcomes_of() == []


def test_warming_up_and_the_cost_of_a_text_stay_within_what_the_network_reads():
    LOADED.warm_up()

    assert LOADED.cost_tokens("") == 1
    assert LOADED.cost_tokens("the film was") == 3
    assert LOADED.cost_tokens("x" * 1_000_000) == 8


def test_memory_counts_the_engine_and_the_words():
    assert LOADED.memory_bytes == engine_for(VERSION, CPU).memory_bytes + 5 * 200
