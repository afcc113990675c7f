"""A plugin that needs a library which is not installed."""

import a_library_nobody_has.deep  # noqa: F401
