"""Embedding files (`.itememb`, `.useremb`) and their memory-mapped cache."""
