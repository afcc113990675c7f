"""Benchmarks: seqd beside what a user would pick instead, in one run on this machine."""

from checkout import use_checkout

use_checkout()
