"""The page that asks a model, as a browser shows it; and what it says to type elsewhere, typed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from playwright.sync_api import Page, expect
from pydantic import Field, StringConstraints

from seqd.hookspecs import PluginParameters
from seqd.testing import RunningServices, StubModel
from seqd_schemas import Classification, ItemError, Labels

Look = Callable[[str], None]

#: What a shell, Python and JSON each would read in a way of their own.
ODD = 'it\'s "fine" <b>$HOME</b> `id` \\n שלום 🙂\n--and more'


Word = Annotated[str, StringConstraints(max_length=64)]


class MoodParameters(PluginParameters):
    probabilities: bool = Field(default=False, description="Say all.")
    shouted: bool = Field(default=True, description="Count capitals.")
    lean: float = Field(default=0.5, ge=0, le=1, multiple_of=0.25, description="What else counts.")
    style: Literal["plain", "warm"] = Field(default="plain", description="Which words.")
    stop: Word | Annotated[tuple[Word, ...], Field(max_length=4)] = Field(
        default=(), description="Where to end."
    )


def mood(text: str, asked: Mapping[str, Any]) -> Classification | ItemError:
    """Return the label of a text, by all parameters that were sent."""
    if text == "raise":
        raise ValueError("no mood is in it")
    shares = {f"good {json.dumps(asked, ensure_ascii=False)}": 0.75, "bad": 0.25}
    label = next(iter(shares))
    return Classification(label=label, score=0.75, truncated=False, probabilities=shares)


def echo(text: str, asked: Mapping[str, Any]) -> str:
    return f"{text} and so on"


def letters(text: str, asked: Mapping[str, Any]) -> Labels:
    return Labels.model_validate({"labels": [{"label": "a", "score": text.count("a") / 10}]})


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    return {
        "mood": StubModel(classify=mood, parameters=MoodParameters),
        "echo": StubModel(generate=echo, run={"letters": (letters, Labels)}),
    }


def _ran(command: str, services: RunningServices) -> str:
    """Return what a command of the page prints in a shell."""
    settings = services.settings
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    daemon = {"SEQD_REDIS_URL": str(settings.redis_url), "SEQD_PREFIX": settings.prefix}
    environment = {**os.environ, **daemon, "PATH": path}
    done = subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_answer_stands_beside_commands_that_give_the_same(
    tab: Page, services: RunningServices, look: Look
) -> None:
    tab.goto("/try")
    tab.get_by_label("Model and task").select_option("mood classify")
    tab.get_by_role("button", name="Choose").click()
    tab.get_by_label("Text").fill(ODD)
    tab.get_by_label("shouted").uncheck()
    tab.get_by_label("lean").fill("0.25")
    tab.get_by_label("style").select_option("warm")
    tab.get_by_label("stop").fill('["\'", "$HOME"]')

    tab.get_by_role("button", name="Ask the model").click()

    answer = tab.get_by_role("region", name="Answer").locator("dd").first
    sent = {"shouted": False, "lean": 0.25, "style": "warm", "stop": ["'", "$HOME"]}
    expect(answer).to_contain_text("good")
    label = answer.inner_text()
    assert json.loads(label.removeprefix("good ")) == {"probabilities": True, **sent}
    expect(tab.get_by_label("Text")).to_have_value(ODD)
    expect(tab.get_by_role("checkbox", name="shouted")).not_to_be_checked()
    look("try-answer")
    (line,) = _ran(tab.locator("#command-line").inner_text(), services).splitlines()
    assert json.loads(line)["output"]["label"] == label
    said = json.loads(_ran(tab.locator("#curl").inner_text(), services))
    assert said["data"][0]["label"] == label
    python = tab.locator("#python").inner_text()
    assert "0.75" in _ran(f"python - <<'END'\n{python}\nEND", services)


def test_what_is_wrong_is_said_over_the_form_as_it_was_filled_in(tab: Page, look: Look) -> None:
    tab.goto("/try?what=mood")
    tab.get_by_label("Text").fill("raise")
    tab.get_by_label("stop").fill("[1]")

    tab.get_by_role("button", name="Ask the model").click()
    expect(tab.get_by_text("parameter 'stop' is [1]; allowed: ")).to_be_visible()
    expect(tab.get_by_label("stop")).to_have_value("[1]")
    look("try-fault")

    tab.get_by_label("stop").fill("")
    tab.get_by_role("button", name="Ask the model").click()
    expect(tab.get_by_text("no mood is in it")).to_be_visible()
    expect(tab.get_by_label("Text")).to_have_value("raise")


def test_a_text_is_written_as_a_job_which_stays(tab: Page, look: Look) -> None:
    tab.goto("/try?what=echo generate")
    tab.get_by_label("Prompt").fill("a fat cat")
    tab.get_by_role("button", name="Write it as a job").click()

    expect(tab.get_by_role("heading", name="Job ")).to_be_visible()
    written = tab.get_by_role("region", name="First results")
    expect(written).to_contain_text("a fat cat and so on")
    look("try-job")


def test_a_paused_model_is_asked_nothing_until_it_is_resumed(
    tab: Page, services: RunningServices
) -> None:
    with services.client() as client:
        client.pause_model("echo", reason="new weights at noon")
        tab.goto("/try")
        expect(tab.get_by_label("Model and task")).to_have_value("mood classify")
        tab.get_by_label("Model and task").select_option(label="echo generate (paused)")
        tab.get_by_role("button", name="Choose").click()
        tab.get_by_label("Prompt").fill("ab")
        tab.get_by_role("button", name="Ask the model").click()

        expect(
            tab.get_by_text("new weights at noon. It answers once it is resumed")
        ).to_be_visible()
        assert client.jobs(1, model="echo", states=["queued"]) == []
        client.resume_model("echo")


@pytest.mark.parametrize(
    ("task", "said"), [("generate", "a fat cat and so on"), ("letters", "0.3")]
)
def test_other_tasks_answer_as_well(
    tab: Page, services: RunningServices, look: Look, task: str, said: str
) -> None:
    tab.goto(f"/try?what=echo {task}")
    tab.locator("#text").fill("a fat cat")

    tab.get_by_role("button", name="Ask the model").click()

    expect(tab.get_by_role("region", name="Answer")).to_contain_text(said)
    look(f"try-{task}")
    assert said in _ran(tab.locator("#command-line").inner_text(), services)
