"""How what a claim took is divided among its units."""

from hypothesis import given
from hypothesis import strategies as st

from seqd.ledger.work import Use
from seqd.worker.use import shares_of, uses_of


def test_units_get_their_parts_by_the_length_of_their_texts() -> None:
    assert uses_of([100, 300], tokens=40, busy_s=2.0) == [Use(10, 500), Use(30, 1_500)]


def test_characters_stand_for_tokens_where_the_plugin_counts_none() -> None:
    assert uses_of([100, 300], tokens=0, busy_s=0.0) == [Use(100, 0), Use(300, 0)]


def test_units_without_anything_to_compute_get_nothing() -> None:
    assert uses_of([0, 0], tokens=7, busy_s=3.0) == [Use(0, 0), Use(0, 0)]


@given(
    whole=st.integers(0, 10**9), weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=30)
)
def test_the_parts_add_up_to_the_whole_and_are_as_large_as_they_should_be(
    whole: int, weights: list[int]
) -> None:
    shares = shares_of(whole, weights)

    total = sum(weights)
    assert sum(shares) == (whole if total else 0)
    for share, weight in zip(shares, weights, strict=True):
        assert total == 0 or abs(share - whole * weight / total) <= 1
