"""What an endless run calls flat: noise and peaks are, a slow leak is not."""

import random

from endless.curves import Curve, Soak, Verdict, verdict_of

MEMORY = Curve("worker, MB", share=0.03, least=3.0)
FILES = Curve("files, MB", share=0.2, least=20.0, by_peaks=True)


def verdict_on(curve: Curve, value_at: "list[float]") -> Verdict:
    """Judge values that were sampled every five seconds."""
    return verdict_of(curve, [(5.0 * at, value) for at, value in enumerate(value_at)])


def noise(seed: int = 1) -> list[float]:
    """Return 240 samples around 300, with a peak now and then."""
    draw = random.Random(seed)
    return [300 + draw.gauss(0, 2) + (80 if at % 50 == 0 else 0) for at in range(240)]


def test_noise_and_peaks_are_flat():
    assert all(verdict_on(MEMORY, noise(seed)).is_flat for seed in range(20))


def test_a_leak_of_a_megabyte_a_minute_rises_in_spite_of_noise_and_peaks():
    leaking = [value + at * 5 / 60 for at, value in enumerate(noise())]

    verdict = verdict_on(MEMORY, leaking)

    assert not verdict.is_flat
    assert 18 < verdict.rise < 22


def test_a_curve_that_is_rewritten_when_it_is_long_is_judged_by_its_peaks():
    saw_tooth = [float(at % 60) for at in range(240)]
    rising = [at % 60 + at / 4 for at in range(240)]

    assert verdict_on(FILES, saw_tooth).is_flat
    assert not verdict_on(FILES, rising).is_flat


def test_the_warm_up_counts_for_nothing_and_neither_does_a_gap():
    soak = Soak(warm_up_s=100.0)
    for at in range(60):
        sample = {"worker, MB": (MEMORY, float(min(at, 20)))} if at != 40 else {}
        soak.add(5.0 * at, sample)

    (verdict,) = soak.verdicts()

    assert verdict.is_flat
    assert verdict.median == 20
