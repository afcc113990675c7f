"""Inputs: files, folders and a caller's values, as items of a job or as training data.

Uses no Redis and no Celery, and keeps memory bounded. `items` and `reading` make items, `datasets`
training data; `duplicates` refuses identifiers that are used twice, `paths` says what may be read.
"""
