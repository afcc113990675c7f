"""What `docker/monitoring` has, read for tests, and a Prometheus that uses it: a fleet is watched.

`files` reads rules and dashboard, `prometheus` runs the server and asks it, `picture` draws the
dashboard from its answers. `make monitoring` and `make dashboard-picture` run it.
"""
