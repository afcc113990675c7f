"""seqd, the sequence-model daemon. Holds its version only: nothing is imported or started here."""

__version__ = "1.0.0.dev2"
