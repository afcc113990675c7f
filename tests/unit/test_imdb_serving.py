"""Classification by a tiny random version: outcomes, refusals, and independence of batching."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqd.errors import Stopped
from seqd.hookspecs import WorkItem
from seqd.testing import CPU, MemoryRunContext
from seqd_imdb_lstm import ClassifyParameters
from seqd_imdb_lstm.artifact import Version, VersionConfig, Weights, shapes_of
from seqd_imdb_lstm.engine import engine_for
from seqd_imdb_lstm.serving import LoadedImdbLstm
from seqd_imdb_lstm.vocabulary import Vocabulary
from seqd_schemas import Classification, ItemError


def a_version(max_tokens: int = 8, labels: tuple[str, ...] = ("neg", "pos")) -> Version:
    config = VersionConfig(
        vocabulary_size=9,
        max_tokens=max_tokens,
        embedding_dim=3,
        units=6,
        labels=labels,
        class_counts=(1,) * len(labels),
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


def outcomes_of(
    *texts: str,
    loaded: LoadedImdbLstm = LOADED,
    job: MemoryRunContext | None = None,
    probabilities: bool = False,
):
    items = [WorkItem(index, text) for index, text in enumerate(texts)]
    parameters = ClassifyParameters(probabilities=probabilities)
    return list(loaded.classify(items, parameters, job or MemoryRunContext()))


def test_a_review_gets_the_likelier_label_and_its_probability():
    outcomes = outcomes_of("the film was good", "bad bad bad", "good", "was film")

    assert {outcome.label for outcome in outcomes} == {"neg", "pos"}
    assert all(outcome.score >= 0.5 for outcome in outcomes)


def test_the_score_is_the_engines_probability_of_the_label():
    ids = VERSION.vocabulary.encode_all(["bad film"], max_tokens=8)[0].ids
    negative, positive = engine_for(VERSION, CPU).probabilities([ids])[0].tolist()

    (outcome,) = outcomes_of("bad film")

    expected = ("pos", positive) if positive > negative else ("neg", negative)
    assert (outcome.label, outcome.score) == (expected[0], round(expected[1], 5))
    assert outcome.probabilities is None


CLASSES = ("a", "b", "c", "d")


def test_the_likeliest_of_many_classes_is_named_and_all_are_told_on_request():
    version = a_version(labels=CLASSES)
    ids = version.vocabulary.encode_all(["bad film"], max_tokens=8)[0].ids
    each = engine_for(version, CPU).probabilities([ids])[0].tolist()

    refused, outcome = outcomes_of("zzz", "bad film", loaded=loaded_of(version), probabilities=True)

    assert isinstance(refused, ItemError)
    assert outcome.label == CLASSES[each.index(max(each))]
    assert outcome.score == round(max(each), 5) == outcome.probabilities[outcome.label]
    assert outcome.probabilities == {
        label: round(one, 5) for label, one in zip(CLASSES, each, strict=True)
    }
    assert sum(outcome.probabilities.values()) == pytest.approx(1.0, abs=4 * 0.5e-5 + 1e-6)


def test_each_batch_is_reported_with_its_tokens_and_times():
    job = MemoryRunContext()

    outcomes_of(*["good film"] * 512, "zzz", "bad", job=job)

    first, second = job.batches
    assert (first.items, first.real_tokens) == (512, 512 * 3)
    assert (second.items, second.real_tokens) == (2, 2)
    assert second.computed_tokens >= second.real_tokens
    assert min(first.vectorise_s, first.compute_s, second.compute_s) > 0.0


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
        outcomes_of(*["good"] * 600, job=MemoryRunContext(stop_after=1))

    assert len(outcomes_of(*["good"] * 512, job=MemoryRunContext(stop_after=1))) == 512


def test_no_items_have_no_outcomes():
    assert outcomes_of() == []


def test_warming_up_and_the_cost_of_a_text_stay_within_what_the_network_reads():
    LOADED.warm_up()

    assert LOADED.cost_tokens("") == 1
    assert LOADED.cost_tokens("the film was") == 3
    assert LOADED.cost_tokens("x" * 1_000_000) == 8


def test_a_chinese_text_costs_more_than_its_length_says():
    config = VERSION.config.model_copy(update={"tokenizer": "unicode-1", "max_tokens": 500})
    loaded = loaded_of(replace(VERSION, config=config))

    assert loaded.cost_tokens("这部电影很好") == 4
    assert loaded.cost_tokens("the film is good") == 4


def test_memory_counts_the_engine_and_the_words():
    assert LOADED.memory_bytes == engine_for(VERSION, CPU).memory_bytes + 5 * 200
