"""seqd, the sequence-model daemon. Holds its version only: nothing is imported or started here."""

__version__ = "0.3.0.dev0"
