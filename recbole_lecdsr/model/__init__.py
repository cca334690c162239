"""Models: a batch of windows comes in; a loss, or scores of candidate items, go out."""
