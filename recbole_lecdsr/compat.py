"""Adaptations to the frameworks (being written)."""


def apply() -> None:
    """Apply all adaptations."""
