"""Layers as plain modules that import no framework."""
