"""What came out of the checks of a plugin: one result a check, and the counts of all."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field


class CheckState(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    #: The plugin has nothing that the check is about; `why` says what is missing.
    DID_NOT_APPLY = "did_not_apply"
    #: It failed, as the author has declared; `why` has the author's reason.
    EXPECTED_FAILURE = "expected_failure"


class Place(BaseModel):
    """A line in the plugin's files."""

    model_config = ConfigDict(frozen=True)

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        """Return it as compilers and editors write it."""
        return f"{self.file}:{self.line}"


class CheckResult(BaseModel):
    """The result of one check of one part of one model."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="The check, by its clause, such as `B1`.")
    model: str = Field(description="The model, or the plugin where it has none.")
    part: str = Field(description="What was checked: description, training or a version.")
    meaning: str = Field(description="What holds, in one sentence.")
    state: CheckState
    seen: str = Field(default="", description="What the plugin did, where the check failed.")
    place: Place | None = Field(default=None, description="Where, in the plugin's files.")
    cure: str = Field(default="", description="What to do.")
    why: str = Field(default="", description="Why it did not apply, or was expected to fail.")
    stack: tuple[str, ...] = Field(
        default=(), description="Where the process stood when it hung or died, innermost first."
    )
    seconds: float = 0.0

    @property
    def ran(self) -> bool:
        """True unless the check did not apply."""
        return self.state is not CheckState.DID_NOT_APPLY

    def lines(self) -> list[str]:
        """Return what an author reads of a failure: what was seen, where, and the cure."""
        facts = [("seen:", self.seen)]
        if self.place is not None:
            function = f", in {self.place.function}" if self.place.function else ""
            facts.append(("at:", f"{self.place}{function}"))
        facts += [("", line) for line in self.stack]
        if self.cure:
            facts.append(("do:", self.cure))
        headline = f"{self.id}  {self.model} ({self.part}): {self.meaning}"
        return [headline, *(f"  {name:<6}{said}" for name, said in facts)]


class Report(BaseModel):
    """All results of a plugin's checks."""

    model_config = ConfigDict(frozen=True)

    plugin: str
    api_version: str = Field(description="Version of the plugin API that the checks are of.")
    results: tuple[CheckResult, ...]
    seconds: float = 0.0

    @property
    def failed(self) -> list[CheckResult]:
        """The checks that failed and were not expected to."""
        return [result for result in self.results if result.state is CheckState.FAILED]

    def lines(self) -> list[str]:
        """Return what an author reads: each failure, then the counts."""
        return [*(line for result in self.failed for line in result.lines()), self.closing_line()]

    def closing_line(self) -> str:
        """Return the counts, such as `31 checks ran: 30 passed, 1 failed; 4 did not apply (…)`."""
        counts = Counter(result.state for result in self.results)
        idle = counts.pop(CheckState.DID_NOT_APPLY, 0)
        said = [f"{counts[CheckState.PASSED]} passed", f"{counts[CheckState.FAILED]} failed"]
        if expected := counts[CheckState.EXPECTED_FAILURE]:
            said.append(f"{expected} failed as expected")
        ran = sum(counts.values())
        line = f"{ran} check{'' if ran == 1 else 's'} ran: {', '.join(said)}"
        return f"{line}; {idle} did not apply ({_reasons(self.results)})" if idle else line


def _reasons(results: Sequence[CheckResult]) -> str:
    """Return the reasons for which checks did not apply, each once, in their order."""
    idle = (result.why for result in results if result.state is CheckState.DID_NOT_APPLY)
    return ", ".join(dict.fromkeys(idle))


#: The check that a plugin can be loaded, which comes before all others.
LOADS: Final = "L1"


def loads_result(plugin: str) -> CheckResult:
    """Return the result of L1 for a plugin that loads."""
    return CheckResult(
        id=LOADS,
        model=plugin,
        part="description",
        meaning="The plugin is imported and registered, and its descriptions are as they have to "
        "be.",
        state=CheckState.PASSED,
    )
