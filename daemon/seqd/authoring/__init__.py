"""One plugin alone, without a daemon and without Redis: a child process loads it and computes.

For authors, who try and check a plugin while they write it. The child does what a worker does:
the same loading, the same calls, the same checks of outcomes.
"""
