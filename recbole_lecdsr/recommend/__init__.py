"""Serving: a trained run comes in; the top items of each domain, with tokens and titles, or an export go out."""

from recbole_lecdsr.recommend.recommender import Recommender, recommend, recommend_for_history
from recbole_lecdsr.recommend.run_models import load_run

__all__ = ["Recommender", "load_run", "recommend", "recommend_for_history"]
