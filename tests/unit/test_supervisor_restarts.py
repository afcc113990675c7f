"""How long a slot stays empty after its worker died."""

from seqd.local.restarts import RestartPolicy


def test_the_wait_doubles_from_one_second_up_to_thirty() -> None:
    waits_s = [RestartPolicy().wait_s(deaths) for deaths in range(1, 8)]

    assert waits_s == [1, 2, 4, 8, 16, 30, 30]


def test_a_worker_that_lived_for_a_minute_starts_the_count_anew() -> None:
    policy = RestartPolicy()

    assert policy.deaths_in_a_row(5, lived_s=59.9) == 6
    assert policy.deaths_in_a_row(5, lived_s=60.0) == 1


def test_a_worker_that_took_work_and_was_killed_starts_the_count_anew() -> None:
    policy = RestartPolicy()

    killed = policy.deaths_in_a_row(5, lived_s=2.0, was_ready=True, by_signal=True)

    assert killed == 1
    assert policy.wait_s(killed) == 1.0


def test_a_worker_that_is_killed_while_it_starts_or_that_ends_itself_is_not_forgiven() -> None:
    policy = RestartPolicy()

    assert policy.deaths_in_a_row(5, lived_s=2.0, was_ready=False, by_signal=True) == 6
    assert policy.deaths_in_a_row(5, lived_s=2.0, was_ready=True, by_signal=False) == 6
