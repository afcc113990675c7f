"""The plugin's own tests, by `seqd.testing`: neither Redis nor a worker is needed."""

from pathlib import Path

import numpy as np
import pytest

from seqd.errors import ArtifactDamaged, InvalidData, Stopped
from seqd.hookspecs import LabelledRecord, LoadedModel, WorkItem
from seqd.inputs.datasets import ListDataset
from seqd.testing import CPU, MemoryRunContext, train_to_artifact
from seqd_embed import Ngrams
from seqd_embed.hashing import count_features, normalized
from seqd_embed.records import (
    MAX_CHARS,
    Embedding256,
    EmbedParameters,
    Matches,
    Query,
    SimilarParameters,
)
from seqd_schemas import ItemError

#: Pairs that say the same in other words; each is nearest to its own.
PARAPHRASES = [
    ("The delivery came two days late and the box was damaged.",
     "The box arrived damaged, and the delivery was two days too late."),
    ("How do I reset my password?", "I forgot my password, how can I reset it?"),
    ("The battery of this phone lasts all day.", "This phone's battery lasts for the whole day."),
    ("Please cancel my subscription at the end of the month.",
     "I want my subscription cancelled when the month ends."),
    ("The soup was cold and the waiter was rude.", "Rude waiters, and a cold soup."),
    ("A moving film with a wonderful leading actress.",
     "The leading actress is wonderful in this moving film."),
    ("The train to Oslo leaves at nine.", "Trains leave for Oslo at nine o'clock."),
    ("My invoice shows the wrong address.", "There is a wrong address on my invoice."),
    ("The installation fails with a permission error.",
     "I get a permission error during installation."),
    ("Is breakfast included in the price of the room?",
     "Does the room's price include breakfast?"),
]  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    """A version that was trained on the pairs."""
    return trained(tmp_path, [text for pair in PARAPHRASES for text in pair])


def trained(folder: Path, texts: list[str], **parameters: int) -> LoadedModel:
    data = ListDataset([LabelledRecord(text, None) for text in texts], "texts of a test")
    return Ngrams().load(train_to_artifact(Ngrams(), parameters, data, folder), CPU)


def embedded(model: LoadedModel, texts: list[str]) -> np.ndarray:
    outcomes = model.run("embed", items(texts), EmbedParameters(), MemoryRunContext())
    assert all(isinstance(outcome, Embedding256) for outcome in outcomes)
    return np.array([np.asarray(outcome.vector) for outcome in outcomes])


def items(texts: list[str]) -> list[WorkItem]:
    return [WorkItem(index, text) for index, text in enumerate(texts)]


def test_each_text_is_nearest_to_its_paraphrase(model: LoadedModel) -> None:
    first, second = (embedded(model, list(side)) for side in zip(*PARAPHRASES, strict=True))

    assert (first @ second.T).argmax(axis=1).tolist() == list(range(len(PARAPHRASES)))


def test_vectors_have_the_length_1_and_those_of_the_same_words_are_the_same(
    model: LoadedModel,
) -> None:
    vectors = embedded(model, ["A fine film!", "a  FINE film", "film fine a", "ein guter Film"])

    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[0] @ vectors.T, [1, 1, 1, vectors[0] @ vectors[3]])
    assert vectors[0] @ vectors[3] < 0.9


def test_a_text_without_letters_and_one_in_chinese_have_vectors(model: LoadedModel) -> None:
    chinese, like_it, smiles = embedded(model, ["这部电影很好看", "这部电影不好看", ":-) :-)"])

    assert chinese @ like_it > 0.3 > abs(chinese @ smiles)


def test_a_common_word_counts_less_once_it_was_learnt(tmp_path: Path) -> None:
    texts = [f"the word{number} the other" for number in range(50)]
    knows = trained(tmp_path / "knows", texts)
    knows_nothing = trained(tmp_path / "nothing", ["unlike"], min_texts=1)

    def like(model: LoadedModel) -> float:
        first, second = embedded(model, ["the other harbour", "the other kettle"])
        return float(first @ second)

    assert like(knows) < like(knows_nothing) - 0.1


def test_bad_items_are_errors_in_their_place(model: LoadedModel) -> None:
    outcomes = model.run(
        "embed", items(["a", "  ", "half \ud83d", "b"]), EmbedParameters(), MemoryRunContext()
    )

    assert [type(outcome) for outcome in outcomes] == [
        Embedding256, ItemError, ItemError, Embedding256,
    ]  # fmt: skip
    assert [one.code for one in outcomes if isinstance(one, ItemError)] == [
        "invalid_input", "decode_error",
    ]  # fmt: skip


def test_a_long_text_is_read_in_part_and_says_so(model: LoadedModel) -> None:
    texts = ["word " * (MAX_CHARS // 5), "word " * (MAX_CHARS // 5) + "unread"]

    whole, part = model.run("embed", items(texts), EmbedParameters(), MemoryRunContext())

    assert (whole.truncated, part.truncated) == (False, True)
    assert whole.vector == part.vector


def test_the_candidates_most_like_a_query_come_first(model: LoadedModel) -> None:
    candidates = ("cold soup", "", "a rude waiter", "the waiter was rude", "a film")
    query = Query(query="The waiter was rude.", candidates=candidates)
    item = WorkItem(0, query.model_dump_json(), query)

    (outcome,) = model.run("similar", [item], SimilarParameters(top=3), MemoryRunContext())

    assert isinstance(outcome, Matches)
    assert [match.index for match in outcome.matches][:2] == [3, 2]
    assert len(outcome.matches) == 3
    assert outcome.matches[0].cosine == pytest.approx(1)


def test_a_blank_query_is_an_error_of_its_item(model: LoadedModel) -> None:
    query = Query(query=" ", candidates=("a",))

    (outcome,) = model.run(
        "similar", [WorkItem(0, "", query)], SimilarParameters(), MemoryRunContext()
    )

    assert isinstance(outcome, ItemError)
    assert outcome.message == "The text is blank. Send one with words in it, or leave the item out."


def test_a_stop_is_honoured_between_two_batches(model: LoadedModel) -> None:
    with pytest.raises(Stopped):
        model.run("embed", items(["a"] * 600), EmbedParameters(), MemoryRunContext(stop_after=1))


def test_texts_without_words_teach_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="no text has a letter or a digit; at least one is due"):
        trained(tmp_path, ["", "  "])


def test_a_version_with_a_damaged_file_is_refused(tmp_path: Path) -> None:
    data = ListDataset([LabelledRecord("a", None)], "one text")
    artifact = train_to_artifact(Ngrams(), {}, data, tmp_path)
    (artifact.folder / "weights.safetensors").write_bytes(b"no tensors")

    with pytest.raises(ArtifactDamaged, match=r"weights\.safetensors cannot be read: "):
        Ngrams().load(artifact, CPU)


def test_words_and_ngrams_are_hashed_as_ever() -> None:
    # What a version has learnt is stored by these numbers.
    found = count_features([normalized("Nóch: to to")])

    twice = found.features[found.counts == 2].tolist()
    assert twice == [24762, 49130, 54063, 55694]
    assert found.features[found.counts == 1].tolist() == [
        15464, 32956, 44287, 51413, 53657, 60395, 62643, 65486,
    ]  # fmt: skip
