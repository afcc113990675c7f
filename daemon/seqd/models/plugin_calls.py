"""Calls of plugin code: whatever it raises becomes an exception that the daemon can handle.

`SystemExit` and its like would end the process that the plugin was called in. An exception whose
text cannot be made would raise another wherever somebody asks what was wrong.
"""

from types import TracebackType

from seqd.plugin.one_process import OneProcess

#: Causes of an exception that are looked at: its own, theirs, and so on.
_MAX_CAUSES = 4


class PluginCall(OneProcess):
    """A `with` block around a call of plugin code, out of which nothing comes but an `Exception`.

    One that is none, or whose text or causes' text cannot be read, is replaced by one of the same
    name, with its traceback. A copy of the process ends there.
    """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the call."""
        super().__exit__(kind, error, traceback)
        if error is None:
            return
        if not isinstance(error, Exception) or any(_text_of(one) is None for one in _causes(error)):
            raise _replacement(error).with_traceback(traceback) from None


def text_of(error: BaseException) -> str:
    """Return an exception's text, whatever its `__str__` does."""
    text = _text_of(error)
    return "its text cannot be read" if text is None else text


def _replacement(error: BaseException) -> Exception:
    """Return an exception with the same name, so that messages and logs say what was raised."""
    kind = type(type(error).__name__, (RuntimeError,), {"__module__": type(error).__module__})
    replaced: Exception = kind(text_of(error))
    return replaced


def _text_of(error: BaseException) -> str | None:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001  a plugin's `__str__`
        return None


def _causes(error: BaseException) -> list[BaseException]:
    chain = [error]
    while len(chain) < _MAX_CAUSES and (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    return chain
