"""Turns what a plugin raised into one line: the exception, its message, and what to do.

Text only; the line stands in the plugin table and in the log. Called by `loading`.
"""

from seqd.errors import PluginFault
from seqd.registry.candidates import Candidate

#: Characters kept of a foreign exception's message; some carry a whole listing.
MESSAGE_CHARS = 1_000


def reason_for(error: BaseException, candidate: Candidate) -> str:
    """Say in one line why the plugin is broken. A PluginFault says it itself."""
    message = " ".join(str(error).split())[:MESSAGE_CHARS]
    if isinstance(error, PluginFault):
        return message
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"{said.rstrip('.')}. {_hint(error, candidate)}"


def _hint(error: BaseException, candidate: Candidate) -> str:
    if isinstance(error, SystemExit):
        return "It called sys.exit() while it was loaded; a plugin may only define things then."
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _hint_on_missing_module(error.name, candidate)
    if type(error).__name__ == "PluginValidationError":
        return "Compare its hooks with those in plugins/README.md."
    if candidate.module:
        return f'Try it alone: python -c "import {candidate.module}".'
    return "Its author has to mend it."


def _hint_on_missing_module(missing: str, candidate: Candidate) -> str:
    if missing == candidate.module:
        return f"Its entry point names a module that {candidate.distribution} does not bring."
    return (
        f"Install {missing.partition('.')[0]} here, or disable the plugin with "
        f"SEQD_DISABLED_PLUGINS={candidate.name}."
    )
