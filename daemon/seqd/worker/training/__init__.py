"""Trainings on a worker, of a job's own or as combinations of a sweep.

`train` leads a claim to its commit: it has the plugin train, with the context and data of `run`
and the checkpoints of `checkpoints`; `publish` makes the result a version in the model store, and
`sweeps` commits it as one item of a sweep. `garbage` removes what killed trainings left behind.
"""
