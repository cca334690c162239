"""Evaluation: a model and its samples come in; ranks, metrics and coverage go out."""
