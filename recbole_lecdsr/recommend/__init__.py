"""Serving: a trained run comes in; the top items of each domain, with tokens and titles, go out."""

from recbole_lecdsr.recommend.recommender import load_run, recommend, recommend_for_history

__all__ = ["load_run", "recommend", "recommend_for_history"]
