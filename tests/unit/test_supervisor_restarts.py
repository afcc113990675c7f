"""How long a slot stays empty after its worker died, and when its work runs again."""

from seqd.local.child import RestartPolicy
from seqd.settings import Settings

#: The longest that work may stand still for a dead worker.
PROMISED_S = 45.0

#: Looks for which the reconciler's lock outlives a worker that held it when it died.
LOCK_LOOKS = 3

#: An idle worker gets a wakeup at once; one that works looks at the ledger after its unit.
WAKEUP_S = 1.0


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


def test_by_default_a_dead_workers_unit_is_claimed_again_in_time() -> None:
    settings = Settings()

    lease_runs_out_s = settings.lease_s  # renewed in the moment of death, at worst
    lock_runs_out_s = LOCK_LOOKS * settings.reconcile_s
    looked_s = settings.reconcile_s
    backed_off_s = settings.backoff_s  # not at the first crash of a unit, but at its second

    # 30 + 6 + 2 + 1 + 1 = 40
    total_s = lease_runs_out_s + lock_runs_out_s + looked_s + backed_off_s + WAKEUP_S
    assert total_s == 40.0
    assert total_s < PROMISED_S


def test_by_default_a_lease_outlives_two_lost_renewals() -> None:
    settings = Settings()

    assert settings.lease_s >= 3 * settings.heartbeat_s
