"""What `docker/monitoring` has, read for tests, and a Prometheus that uses it: a fleet is watched.

`files` reads rules and dashboard, `prometheus` runs the server and asks it, `fleet` is what it
watches. `make monitoring` writes the rules for the Prometheus Operator.
"""
