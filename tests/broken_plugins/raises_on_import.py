"""A plugin whose import raises, as a version clash of its libraries does."""

raise RuntimeError("libfoo 2 is needed, found libfoo 1")
