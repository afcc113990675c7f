"""`seqd models`: what models there are, how good they are, and which version is in service."""
