"""Codes of splits and domains, names of features and of the fields that the plugin adds to a batch."""

from __future__ import annotations

DOMAIN_FIELD = "domain"
TARGET_FIELD = "target"
RELATIVE_TIME_FIELD = "relative_time"
DOMAIN_ITEM_FIELD = "domain_item"
DOMAIN_PLACE_FIELD = "domain_place"
PLACE_FIELD = "place"
N_EARLIER_FIELD = "n_earlier"

# What a model may read besides ids.
ITEM_TEXT, USER_TEXT, TIME = "item_text", "user_text", "time"
# Of those that are vectors, the parameter that chooses which ones.
VECTOR_PARAMETERS = {ITEM_TEXT: "item_vectors", USER_TEXT: "user_vectors"}

TRAIN, VALID, TEST = 0, 1, 2
CONTEXT = -1  # an interaction of a precomputed window, which is never a target
PHASES = {"train": TRAIN, "valid": VALID, "test": TEST}
SOURCE, TARGET = 0, 1
DOMAINS = ("source", "target")
