"""Pictures for people, as PNG files: of an evaluation, of a sweep.

Each picture has a module of its own, which takes a record and draws it; `canvas` is the sheet that
all draw on. Needs matplotlib, from the extra `plots`, which is imported with the first picture.
Called by the command line alone.
"""
