"""Embedding files: ``.itememb`` and ``.useremb`` come in, a matrix mapped from their binary cache goes out."""
