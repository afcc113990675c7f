"""What can run here: libraries of an extra, and the sentence for one that is missing."""

from importlib.util import find_spec

from seqd.errors import InvalidSettings


def without_tensorflow() -> bool:
    """True where Keras or TensorFlow is not installed; imports neither."""
    return find_spec("keras") is None or find_spec("tensorflow") is None


def left_out(what: str, library: str, extra: str) -> str:
    """Say that something was left out, and what to install."""
    return f"{what} left out: {library} is not installed (pip install 'seqd[{extra}]')"


def need_tensorflow(command: str) -> None:
    """Raise InvalidSettings where a bench has nothing to measure without TensorFlow."""
    if without_tensorflow():
        raise InvalidSettings(
            f"`seqd bench {command}` trains with Keras and TensorFlow, which are not installed: "
            "pip install 'seqd[cpu]'"
        )
