"""Data: atomic files come in; batches of windows, positions, targets, negatives and candidates go out."""
