"""Training: a model and training batches come in; the selected weights and their validation metrics go out."""
