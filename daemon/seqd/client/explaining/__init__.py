"""Why a job stands where it does: its units, what it waits for, and what happens next.

`records` has what comes out, `reading` reads it, `reasons` and `sentences` say it in words,
`items` finds one item.
"""
