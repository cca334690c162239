"""Numbers of a report as texts."""

from __future__ import annotations

import math

VERDICT_MARKS = {1: "▲", -1: "▼", 0: ""}
NO_VALUE = "–"  # in the columns of a domain that the model does not score


def p_text(p: float) -> str:
    """A p-value with three decimals.

    >>> p_text(0.0341), p_text(0.0002)
    ('0.034', '<0.001')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def plus_minus(mean: float, sd: float) -> str:
    """Mean ± sd; without the sd where it is nan; a dash where the mean is nan.

    >>> plus_minus(0.1234, 0.0012), plus_minus(0.1234, math.nan), plus_minus(math.nan, math.nan)
    ('0.1234 ± 0.0012', '0.1234', '–')
    """
    if math.isnan(mean):
        return NO_VALUE
    return f"{mean:.4f}" if math.isnan(sd) else f"{mean:.4f} ± {sd:.4f}"
