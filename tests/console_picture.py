"""Pictures of the console for its page: a real daemon under load, in a browser without a window.

`make picture` writes them into `docker/console/`, in some five minutes. The reviews
are composed as those of the demo, and this machine's name is replaced.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from shutil import which

from playwright.sync_api import Page, expect, sync_playwright

from checkout import use_checkout
from picture import daemon
from top_picture import folder, write_inputs

_SIZE = {"width": 1_100, "height": 760}
_TALL = {"width": 1_100, "height": 1_000}
_LIMIT_MS = 600_000

#: Reviews whose text a model learns to write, the second time with a larger network.
_LEARNT = 300
_TRAIN = (
    "train char_lstm --as reviewer --data texts.txt --preset fast --detach --set batch_size=16 "
    "--set steps=32 --set sample_length=160 --set sample_temperatures=[0.5]"
)
_TRAININGS = (f"{_TRAIN} --set epochs=5 --set units=64", f"{_TRAIN} --set epochs=12")

#: Work of three tenants, and how often it is handed in, so that lines of minutes are to be seen.
_WORK = (
    "classify reviews.jsonl --tenant shop --detach",
    "generate char_lstm --tenant games --prompts prompts.txt --length 400 --detach",
    "classify reviews.jsonl --tenant press --priority bulk --detach",
)
_TIMES, _EVERY_S = 5, 30.0

#: Of all text that is shown.
_REPLACE = """([machine, name]) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    texts.currentNode.data = texts.currentNode.data.replaceAll(machine, name);
  }
}"""


def main() -> None:
    """Write the pictures into the folder that the first argument names."""
    use_checkout()
    out = Path(sys.argv[1])
    out.mkdir(exist_ok=True)
    with folder() as name, daemon(Path(name)) as env, gateway(env) as address:
        write_inputs(Path(name))
        with Path(name, "reviews.jsonl").open(encoding="utf-8") as reviews:
            texts = [json.loads(line)["text"] for line in islice(reviews, _LEARNT)]
        Path(name, "texts.txt").write_text("\n".join(texts), encoding="utf-8")
        trainings = [handed_in(job, Path(name), env) for job in _TRAININGS]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=which("chromium"), args=["--no-sandbox"]
            )
            tab = browser.new_page(base_url=address, viewport=_SIZE)
            tab.set_default_timeout(_LIMIT_MS)
            expect.set_options(timeout=_LIMIT_MS)

            tab.goto("/try?what=imdb_lstm+classify")
            tab.get_by_label("Text").fill(
                "A quiet film with a fine cast, and a second half that drags."
            )
            tab.get_by_role("button", name="Ask the model").click()
            expect(tab.get_by_role("heading", name="Answer")).to_be_visible()
            draw(tab, out / "try.png")

            tab.set_viewport_size(_TALL)
            tab.goto(f"/jobs/{trainings[-1]}")
            expect(tab.get_by_role("heading", name="After epoch 6")).to_be_visible()
            draw(tab, out / "training.png")
            expect(tab.get_by_role("link", name="reviewer@2")).to_be_visible()
            tab.goto("/models/reviewer?first=1&second=2")
            tab.get_by_role("heading", name="Versions").evaluate("one => one.scrollIntoView()")
            draw(tab, out / "model.png")

            tab.set_viewport_size(_SIZE)
            tab.goto(f"/jobs/{handed_in(_WORK[0], Path(name), env)}")
            expect(tab.get_by_text("items a second")).to_be_visible()
            expect(tab.get_by_role("heading", name="Errors")).to_be_visible()
            expect(tab.get_by_text("in hand on 1 worker")).to_be_visible()
            draw(tab, out / "job.png")

            for _ in range(_TIMES):
                for job in _WORK:
                    handed_in(job, Path(name), env)
                tab.wait_for_timeout(_EVERY_S * 1_000)
            for job in (_TRAININGS[-1], *_WORK):
                handed_in(job, Path(name), env)
            tab.goto("/")
            draw(tab, out / "now.png")
            browser.close()


@contextmanager
def gateway(env: Mapping[str, str]) -> Iterator[str]:
    """Run a gateway for the daemon; yield its address."""
    running = subprocess.Popen(
        [sys.executable, "-m", "seqd", "gateway", "--port", "0"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        yield running.stdout.readline().strip().removesuffix("/v1")
    finally:
        running.terminate()
        running.communicate(timeout=60)


def handed_in(job: str, folder: Path, env: Mapping[str, str]) -> str:
    """Hand a job in; return its id."""
    command = [sys.executable, "-m", "seqd", *job.split()]
    done = subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode().strip()


def draw(tab: Page, file: Path) -> None:
    """Write a picture of the page that is shown, without the machine's name."""
    tab.wait_for_timeout(500)
    tab.evaluate(_REPLACE, [f"@{socket.gethostname()}", "@lab"])
    tab.screenshot(path=file)


if __name__ == "__main__":
    main()
