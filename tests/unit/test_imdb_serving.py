"""What `imdb_lstm` says of texts: held against a plain network; words, refusals, batches, files."""

import json
import re
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from imdb_builders import (
    CONFIG,
    NETWORKS,
    THREE,
    WORDS,
    a_classifier,
    classified,
    plain_probabilities,
    probabilities_of,
    some_reviews,
    some_weights,
    write_version,
)
from seqd.errors import ArtifactDamaged
from seqd.hookspecs import Artifact, WorkItem
from seqd.testing import CPU, MemoryRunContext
from seqd_imdb_lstm import ClassifyParameters, ImdbLstm
from seqd_schemas import ItemError

EVERY_NETWORK = pytest.mark.parametrize("changes", NETWORKS.values(), ids=NETWORKS)


@pytest.fixture(scope="module")
def loaded():
    """A version that is not changed."""
    return a_classifier()


# Probabilities


@EVERY_NETWORK
def test_reviews_of_all_lengths_get_the_padded_networks_probabilities(changes):
    config = CONFIG | changes
    weights, texts = some_weights(config), some_reviews(35, config)

    got = probabilities_of(a_classifier(config, weights), texts)

    expected = [plain_probabilities(config, weights, text) for text in texts]
    assert got == pytest.approx(np.array(expected), abs=1.1e-5)
    assert got.sum(axis=1) == pytest.approx(np.ones(35), abs=2e-5)


@EVERY_NETWORK
def test_gates_driven_far_into_saturation_stay_finite(changes):
    config = CONFIG | changes
    loaded = a_classifier(config, some_weights(config, size=1e4))

    got = probabilities_of(loaded, ["the film", " ".join(["good"] * 12)])

    assert ((got >= 0.0) & (got <= 1.0)).all()


def test_the_likeliest_class_is_named_and_all_are_told_on_request():
    loaded = a_classifier(CONFIG | THREE)
    items = [WorkItem(0, "zzz"), WorkItem(1, "bad film")]

    refused, silent = loaded.classify(items, ClassifyParameters(), MemoryRunContext())
    _, outcome = classified(loaded, "zzz", "bad film")

    assert isinstance(refused, ItemError)
    assert silent.probabilities is None
    assert (silent.label, silent.score) == (outcome.label, outcome.score)
    assert list(outcome.probabilities) == ["neg", "none", "pos"]
    assert outcome.score == max(outcome.probabilities.values())
    assert outcome.probabilities[outcome.label] == outcome.score


# Words


def told_of(text, words, tokenizer):
    """The outcome of a text where these words are known, and how many tokens were read."""
    config = CONFIG | {"tokenizer": tokenizer, "max_tokens": 500}
    config["vocabulary_size"] = max(5, len(words) + 4)
    context = MemoryRunContext()
    (outcome,) = classified(a_classifier(config, words=words), text, context=context)
    tokens = context.batches[0].real_tokens - 1 if context.batches else 0
    return outcome, tokens


def assert_split(text, expected, tokenizer):
    """All of the words are known where these are, and there are as many."""
    outcome, tokens = told_of(text, sorted(set(expected)), tokenizer)

    if not expected:
        assert outcome.code == "invalid_input" and "has no words in it" in outcome.message
        return
    assert (outcome.unknown_share, tokens) == (0.0, len(expected))
    if len(set(expected)) > 1:
        rest = sorted(set(expected) - {expected[0]})
        without, _ = told_of(text, rest, tokenizer)
        share = expected.count(expected[0]) / len(expected)
        assert without.unknown_share == pytest.approx(share, abs=6e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't STOP,now!", ["don't", "stop", ",", "now", "!"]),
        ("Don\u2019t \u2018quote\u2019", ["don't", "\u2018", "quote", "'"]),
        ("rock'n'roll 'tis boys' ''", ["rock'n'roll", "'", "tis", "boys", "'", "'", "'"]),
        ("<br />10/10 4.5", ["<", "br", "/", ">", "10", "/", "10", "4", ".", "5"]),
        ("snake_case e-mail", ["snake", "_", "case", "e", "-", "mail"]),
        ("Größe Straße", ["größe", "straße"]),
        ("ΟΔΟΣ", ["οδος"]),
        ("Очень хорошо", ["очень", "хорошо"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("这部电影很好。第2集 テスト、です ｶﾞ", list("这部电影很好。第2集テスト、ですｶﾞ")),
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs are marks
        ("می\u200cخواهم", ["می\u200cخواهم"]),  # a format character within a word
        ("❤\ufe0fa 👩\u200d🚀", ["❤\ufe0f", "a", "👩\u200d", "🚀"]),
        ("\u0301a b \u0301\u0302c", ["\u0301", "a", "b", "\u0301\u0302", "c"]),
        ("cafe\u0301 caf\u00e9 \u1112\u1161\u11ab", ["caf\u00e9", "caf\u00e9", "\ud55c"]),
        ("ภาพยนตร์เรื่องนี้ สนุกมาก", ["ภาพยนตร์เรื่องนี้", "สนุกมาก"]),
        ("a\tb\nc\u00a0d\u2003e\u3000f\u200bg\x1ch\x85i", list("abcdefghi")),
        ("a\x00b \ud83d\ude00\ud800", ["a", "\x00", "b", "\ud83d", "\ude00", "\ud800"]),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)
def test_to_the_unicode_tokenizer_letters_make_words_and_every_other_character_is_one(
    text, expected
):
    assert_split(text, expected, "unicode-1")


def by_the_rule_as_it_is_worded(text: str) -> list[str]:
    """Character by character, without any thought of speed."""
    found: list[str] = []
    before = " "
    characters = unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'")
    for place, character in enumerate(characters):
        kind = kind_of(character)
        after = kind_of(characters[place + 1]) if place + 1 < len(characters) else " "
        if kind == "mark":
            kind = "mark" if before != " " else "alone"
        elif character == "'" and before == "letter" and after == "letter":
            kind = "letter"
        if kind == "mark" or (kind == "letter" and before == "letter"):
            found[-1] += character
        elif kind != " ":
            found.append(character)
        before = before if kind == "mark" else kind
    return found


def kind_of(character: str) -> str:
    name = unicodedata.name(character, "")
    if character.isspace() or character == "\u200b":
        return " "
    if unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf"):
        return "mark"
    if "CJK" in name or "HIRAGANA" in name or "KATAKANA" in name:
        return "alone"
    return "letter" if character.isalnum() else "alone"


MIXED = st.text(
    st.sampled_from(
        "aB1'\u2019 .\n_\u0301\u200d\u200b\u00e9é字あ\u30fc\u093fह\ud800😀\ufe0f\x00\u0130"
    ),
    max_size=16,
)


@given(MIXED | st.text(st.characters(max_codepoint=127), max_size=30))
def test_any_text_is_split_by_the_rules_as_they_are_worded(text):
    assert_split(text, by_the_rule_as_it_is_worded(text), "unicode-1")
    legacy = re.sub(r'[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\t\n]', " ", text.lower())
    assert_split(text, [word for word in legacy.split(" ") if word], "keras-legacy-1")


def test_of_a_long_text_the_end_is_read_and_the_cut_words_still_count_as_unknown():
    config = CONFIG | {"max_tokens": 3}
    short, exact, long = classified(
        a_classifier(config), "the film", "the film was", "bad bad zzz the film was"
    )

    assert (short.truncated, exact.truncated, long.truncated) == (False, False, True)
    assert (exact.unknown_share, long.unknown_share) == (0.0, pytest.approx(1 / 6, abs=6e-5))
    # The start is left out of both.
    assert (long.label, long.score) == (exact.label, exact.score)


# Outcomes


@pytest.mark.parametrize("text", ["", "   ", "...!?", "\n\t"])
def test_an_item_without_words_is_told_so(loaded, text: str):
    (outcome,) = classified(loaded, text)

    assert outcome == ItemError(
        code="invalid_input",
        message="The item's text has no words in it; imdb_lstm needs at least one word that it "
        "knows. Send the review's text, or leave the item out.",
    )


def test_an_item_without_a_known_word_is_told_so(loaded):
    (outcome,) = classified(loaded, "Das ist nicht Englisch")

    assert outcome == ItemError(
        code="invalid_input",
        message="The model knows no word of the text (4 in all), so its answer would mean nothing. "
        "It knows the frequent words of what it was trained on; is the text in another language "
        "or encoding?",
    )


def test_each_batch_is_reported_with_its_tokens_and_times(loaded):
    context = MemoryRunContext()

    classified(loaded, *["good film"] * 512, "zzz", "bad", context=context)

    first, second = context.batches
    assert (first.items, first.real_tokens) == (512, 512 * 3)
    assert (second.items, second.real_tokens) == (2, 2)
    assert second.computed_tokens >= second.real_tokens
    assert min(first.vectorise_s, first.compute_s, second.compute_s) > 0.0


def test_the_cost_of_a_text_stays_within_what_the_network_reads(loaded):
    unicode = a_classifier(CONFIG | {"tokenizer": "unicode-1", "max_tokens": 500})
    loaded.warm_up()

    costs = [loaded.cost_tokens(text) for text in ("", "the film was", "x" * 1_000_000)]

    assert costs == [1, 3, 12]
    # A Chinese text costs more than its length says.
    assert [unicode.cost_tokens(text) for text in ("这部电影很好", "the film is good")] == [4, 4]
    assert loaded.memory_bytes > 5 * 200 + 4 * (9 * 3 + 8 * 20)


# Files of a version

MEND = "Train the version again, or copy it again from where it came from."
OTHER = "weights.safetensors of this imdb_lstm version cannot be used: "
VOCABULARY = "vocabulary.json of this imdb_lstm version cannot be used: "


def damage_of(artifact: Artifact) -> str:
    with pytest.raises(ArtifactDamaged) as damaged:
        ImdbLstm().load(artifact, CPU)
    return str(damaged.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"format": 3, "layers": ["transformer"]},
            "config.json has format 3, and this seqd reads format 2. A later seqd trained the "
            "version: install that one here, or serve another version.",
        ),
        ({"labels": ["neg", "neg"]}, "a class stands in labels twice"),
        ({"class_counts": [1]}, "class_counts has not one number for each of labels"),
        ({"lstm_vocabulary_size": 10}, "lstm_vocabulary_size is greater than vocabulary_size"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(tmp_path: Path, change, reason: str):
    artifact = write_version(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | change))

    assert reason in damage_of(artifact)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"bias": np.zeros(8, np.float32)},
            f"{OTHER}bias is float32 of shape (8,), and config.json asks for float32 of shape "
            f"(20,). {MEND}",
        ),
        (
            {"kernel": None},
            f"{OTHER}it holds the arrays bias, embedding, output_bias, output_kernel, "
            "recurrent_kernel; needed are bias, embedding, kernel, output_bias, output_kernel, "
            f"recurrent_kernel. {MEND}",
        ),
        (
            {"output_bias": np.array([np.nan], np.float32)},
            "output_bias holds numbers that are not finite",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change, reason: str):
    artifact = write_version(tmp_path)
    arrays = load_file(tmp_path / "weights.safetensors") | change
    kept = {name: array for name, array in arrays.items() if array is not None}
    save_file(kept, tmp_path / "weights.safetensors")

    assert reason in damage_of(artifact)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ["a", "b", "c", "d", "e", "f"],
            f"{VOCABULARY}its last word has the id 9, and config.json allows ids below 9. {MEND}",
        ),
        (["a", "a"], f"{VOCABULARY}a word stands in it twice"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(tmp_path: Path, words, reason: str):
    assert reason in damage_of(write_version(tmp_path, words=words))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("config.json", "config.json cannot be used: "),
        ("vocabulary.json", VOCABULARY),
        ("weights.safetensors", "weights.safetensors cannot be read: "),
    ],
)
def test_a_file_that_is_broken_or_missing_is_named(tmp_path: Path, file: str, said: str):
    artifact = write_version(tmp_path)

    for content in (b"", b"{", b"\xff\xfe\x00", b'{"format": 2}'):
        (tmp_path / file).write_bytes(content)
        assert damage_of(artifact).startswith(said)
    (tmp_path / file).unlink()
    assert damage_of(artifact).startswith(said)


def test_inspecting_shows_sizes_shapes_and_frequent_words(tmp_path: Path):
    artifact = write_version(tmp_path, CONFIG | {"class_counts": [9, 4]})

    sizes, classes, weights, frequent = ImdbLstm().inspect(artifact, None)
    (found,) = ImdbLstm().inspect(artifact, "The zebra")

    assert ("classes", 2) in sizes.rows
    assert ("known words", 5) in sizes.rows
    assert ("tokenizer", "keras-legacy-1") in sizes.rows
    assert classes.columns == ("number", "class", "reviews trained on")
    assert classes.rows == ((0, "neg", 9), (1, "pos", 4))
    assert [row[:3] for row in weights.rows][1] == ("kernel", "3 × 20", 60)
    assert frequent.rows[0] == (1, WORDS[0])
    assert found.columns == ("word", "rank")
    assert found.rows == (("the", 1), ("zebra", "not known"))


def test_a_version_that_other_libraries_have_trained_loads_as_it_is(tmp_path: Path):
    starter = ImdbLstm().starter
    assert starter is not None
    folder = Path(shutil.copytree(starter, tmp_path / "0"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["libraries"] = {"keras": "99.1", "numpy": "7.0", "torch": "8.2"}
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text(json.dumps(manifest))

    outcomes = classified(
        ImdbLstm().load(Artifact(folder, None), CPU),
        "A wonderful film.",
        "Not a good film, and far too long.",
        "I did not expect much, but it was not bad at all.",
    )

    # As the release that made the starter has it: n-grams are found by the same hashes, too.
    labels = [outcome.label for outcome in outcomes]
    assert labels == ["positive", "negative", "negative"]
    scores = [outcome.score for outcome in outcomes]
    assert scores == pytest.approx([0.95891, 0.633, 0.74546], abs=1e-4)
