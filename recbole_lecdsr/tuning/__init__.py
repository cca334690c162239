"""Hyper-parameter search: a space of parameters comes in; the best of them on validation samples goes out."""
