"""`make monitoring`: write the rules for the Prometheus Operator."""

from monitoring.files import write_prometheus_rule

write_prometheus_rule()
