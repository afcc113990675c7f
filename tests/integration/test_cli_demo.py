"""The demo, small: each of its steps, and nothing left behind."""

import tempfile
from pathlib import Path

import pytest
import redis

from seqd.cli.demo.script import run_demo
from seqd.settings import Settings

pytestmark = [pytest.mark.processes, pytest.mark.network, pytest.mark.timeout(600)]


@pytest.mark.slow
def test_the_demo_shows_each_step_and_leaves_nothing_behind(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert settings.redis_url is not None
    small = settings.model_copy(update={"slots": "cpu:0,train@cpu"})

    status = run_demo(small, reviews=400, text_chars=5_000)

    shown = capsys.readouterr().out
    assert status == 0, shown
    assert "$ seqd classify reviews.jsonl --out results.jsonl" in shown
    assert "on 400 labelled items" in shown
    assert [line.split()[0] for line in shown.splitlines() if "/5 " in line] == [
        f"{epoch}/5" for epoch in range(1, 6)
    ]
    assert "harbour@1 is in service, after" in shown
    assert "$ seqd generate harbour " in shown
    assert shown.count("$ seqd generate ") == 4
    assert shown.endswith(f"seqd up --gateway    # then open {small.gateway_url}/\n")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("seqd-demo")] == []
    with redis.Redis.from_url(settings.redis_url) as client:
        assert list(client.scan_iter("seqd-demo-*")) == []
