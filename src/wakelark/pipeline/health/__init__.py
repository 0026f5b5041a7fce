"""Data health: what is wrong with the clips and recordings that a detector is made of, and what to do about it."""
