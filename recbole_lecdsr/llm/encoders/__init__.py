"""Encoders: texts come in; embedding vectors go out."""
