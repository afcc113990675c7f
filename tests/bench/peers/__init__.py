"""What a user would write instead of seqd: programs that import nothing of it, but each other."""
