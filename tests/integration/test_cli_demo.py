"""The demo, small: each of its steps, and nothing left behind."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from seqd.cli.demo.script import run_demo
from seqd.cli.exits import BAD_CONFIG
from seqd.settings import Settings

pytestmark = [pytest.mark.processes, pytest.mark.network, pytest.mark.timeout(240)]


@pytest.fixture
def redis_url(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Have the demo use a server and a folder of temporary files; nothing is left in either."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert settings.redis_url is not None
    monkeypatch.setenv("SEQD_REDIS_URL", settings.redis_url)
    yield settings.redis_url
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("seqd-demo")] == []
    with redis.Redis.from_url(settings.redis_url) as client:
        assert list(client.scan_iter("seqd-demo-*")) == []


@pytest.mark.slow
@pytest.mark.usefixtures("redis_url")
def test_the_demo_shows_each_step_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQD_SLOTS", "cpu:0,train@cpu")

    status = run_demo(reviews=400, text_chars=5_000)

    shown = capfd.readouterr().out
    assert status == 0, shown
    assert "$ seqd classify reviews.jsonl --out results.jsonl" in shown
    assert "on 400 labelled items" in shown
    assert [line.split()[0] for line in shown.splitlines() if "/5 " in line] == [
        f"{epoch}/5" for epoch in range(1, 6)
    ]
    assert "harbour@1 is in service, after" in shown
    assert shown.count("$ seqd generate ") == 4


@pytest.mark.usefixtures("redis_url")
def test_a_daemon_that_does_not_start_ends_the_demo_with_its_status_and_words(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEQD_SLOTS", "gpu:7")

    status = run_demo()

    shown = capfd.readouterr()
    assert status == BAD_CONFIG
    assert shown.err.startswith("error[")
    assert "$ seqd classify" not in shown.out
