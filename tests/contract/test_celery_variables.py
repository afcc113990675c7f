"""Every variable that Celery's packages read is known here, so that a new release's is noticed."""

import ast
import re
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from seqd.worker.celery_environment import is_celerys

PACKAGES = ("celery", "kombu", "billiard", "amqp", "vine")

READS_THE_ENVIRONMENT = re.compile(r"\benviron\b|\bgetenv\b|\benvvar\b")
NAME = re.compile(r"_?[A-Z][A-Z0-9]{2,}(_[A-Z0-9]+)*_?|celery_dummy_proxy")

#: What these modules have in capitals that is no variable: names of signals, levels and options.
NO_VARIABLES = re.compile(
    r"SIG[A-Z0-9]+|EX_[A-Z]+|SC_[A-Z_]+|DEBUG|INFO|WARNING|ERROR|CRITICAL|FATAL"
)
ALSO_NONE = {
    *("BROKER_URL", "CELERY", "CONFIG_MODULE", "LOADER", "RESULT_BACKEND", "SKIP_CHECKS"),
    *("DEFAULT_CONFIG_MODULE", "DEFAULT_PORT", "ENOENT", "IS_WINDOWS", "LOG_LEVELS", "OPTIONS"),
    *("APP", "SIG", "SOFTWARE_INFO", "SYSTEM", "TIME_ZONE", "UTC", "VERSION"),
}

#: Variables that cannot change what seqd does, and why.
HARMLESS = {
    "ITERM_PROFILE": "images in a terminal, by Celery's banner, which seqd does not print",
    "NO_COLOR": "Celery's command line",
    "NO_WORKER": "Celery's plugin for pytest",
    "NUMBER_OF_PROCESSORS": "Windows",
    "PUBSUB_EMULATOR_HOST": "a transport that seqd does not use",
    "SLMQ_ACCOUNT": "a transport that seqd does not use",
    "SLMQ_HOST": "a transport that seqd does not use",
    "SLMQ_PORT": "a transport that seqd does not use",
    "SLMQ_SECURE": "a transport that seqd does not use",
    "SL_API_KEY": "a transport that seqd does not use",
    "SL_USERNAME": "a transport that seqd does not use",
    "TERM": "colours",
    "TEST_BROKER": "Celery's tools for tests",
    "WORKER_LOGLEVEL": "Celery's tools for tests",
}


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        # Not `importlib.util.find_spec`: an imported kombu has none.
        found = PathFinder.find_spec(package)
        assert found is not None and found.submodule_search_locations, package
        for folder in found.submodule_search_locations:
            yield from Path(folder).rglob("*.py")


def texts_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def names_in_modules_that_read_the_environment() -> dict[str, str]:
    """Return each text in capitals of such a module, and one module that has it."""
    found: dict[str, str] = {}
    for path in modules():
        source = path.read_text(encoding="utf-8", errors="replace")
        if READS_THE_ENVIRONMENT.search(source):
            for text in texts_in(source):
                if NAME.fullmatch(text) and not NO_VARIABLES.fullmatch(text):
                    found[text] = str(path)
    return found


def test_each_variable_that_celery_reads_is_removed_or_known_to_be_harmless():
    found = names_in_modules_that_read_the_environment()

    unknown = {
        name: path
        for name, path in found.items()
        if not is_celerys(name) and name not in HARMLESS and name not in ALSO_NONE
    }

    assert "CELERY_BROKER_URL" in found and "REMAP_SIGTERM" in found
    assert unknown == {}, "decide: add each to seqd/worker/celery_environment.py, or to HARMLESS"
