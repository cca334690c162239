"""Data: atomic files come in; batches of windows, positions, targets and negatives go out."""
