"""Hyper-parameter search: a space of settings in, the best of them on validation samples out."""
