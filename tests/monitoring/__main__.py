"""`make monitoring` writes the rules for the Prometheus Operator again, from docker/monitoring."""

from monitoring.files import write_prometheus_rule

if __name__ == "__main__":
    write_prometheus_rule()
