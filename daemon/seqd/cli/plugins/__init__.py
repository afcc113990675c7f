"""`seqd plugins`: which plugins there are, what they take, and how they are written."""
