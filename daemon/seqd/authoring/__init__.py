"""One plugin alone, without a daemon and without Redis: a child process loads it and computes.

For authors, who try a plugin while they write it. The child does with a plugin what a worker does:
the same loading, the same calls, the same checks of outcomes.
"""
