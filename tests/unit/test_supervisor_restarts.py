"""How long a slot stays empty after its worker died."""

from hypothesis import given
from hypothesis import strategies as st

from seqd.supervisor import RestartPolicy


def test_the_wait_doubles_from_one_second_up_to_thirty() -> None:
    waits_s = [RestartPolicy().wait_s(deaths) for deaths in range(1, 8)]

    assert waits_s == [1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_lived_for_a_minute_starts_the_count_anew() -> None:
    policy = RestartPolicy()

    assert policy.deaths_in_a_row(5, lived_s=59.9) == 6
    assert policy.deaths_in_a_row(5, lived_s=60.0) == 1


@given(st.integers(min_value=1, max_value=10**9))
def test_the_wait_stays_within_its_limits_after_any_number_of_deaths(deaths: int) -> None:
    assert 1 <= RestartPolicy().wait_s(deaths) <= 30
