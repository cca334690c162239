from __future__ import annotations

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.tuning.pruners import PRUNERS, make_pruner


def test_every_pruner_can_be_made_and_others_are_refused():
    assert len({type(make_pruner(name)) for name in PRUNERS}) == len(PRUNERS)
    with pytest.raises(UserError, match="halving, median, none, not 'hyperband'"):
        make_pruner("hyperband")
