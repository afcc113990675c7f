"""Plays loads against the autoscale signal and an autoscaler; `python -m scale` draws them."""
