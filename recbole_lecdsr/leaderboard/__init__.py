"""Leaderboards: model labels and seeds come in; a study of comparable runs and a report of it go out."""
