"""N-gram models over integer symbols: counting, smoothing, and a back-off automaton.

Texts, files and random numbers are the caller's. Map characters or words to ids, count them by
`counting.NgramCounter`, estimate probabilities by `model.fit`, and read the `model.NgramModel`.
Needs NumPy alone. `trie` has how counts lie in memory, `storage` how in files.
"""
