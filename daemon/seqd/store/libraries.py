"""Versions of installed libraries, for a model's manifest. Imports none of them."""

from importlib.metadata import PackageNotFoundError, version

#: What the manifest says of a library that is not installed.
NOT_INSTALLED = "not installed"


def library_versions(*names: str) -> dict[str, str]:
    """Give the installed version of each distribution by its name, such as `numpy`."""
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return NOT_INSTALLED
