"""This machine: its Redis server where none is given, its slots, and a worker on each of them."""
