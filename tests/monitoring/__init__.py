"""What `docker/monitoring` has, read for tests.

`make monitoring` writes the rules for the Prometheus Operator.
"""
