"""Models: the plugins that bring them, their versions in the store, and trainings' checkpoints.

A broken plugin is listed with its reason, and the others serve. Clients need none of this: they
read the published catalog (`seqd.admission`).
"""
