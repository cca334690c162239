"""Serving: a trained run comes in; top items of each domain, with tokens and titles, go out."""

from recbole_lecdsr.recommend.recommender import recommend

__all__ = ["recommend"]
