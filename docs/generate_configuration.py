"""Writes what follows from the declarations of parameters: properties/overall.yaml and tables of docs/configuration.md.

Run it after a change in recbole_lecdsr/schema/, recbole_lecdsr/model/parameters.py, a rival's parameters or
properties/model/:

    python docs/generate_configuration.py

Tables replace the text between `<!-- table: NAME -->` and `<!-- end of table -->`.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from recbole_lecdsr.model.parameters import LECDSR_PARAMETERS
from recbole_lecdsr.property_files import read_property_file
from recbole_lecdsr.registration import MODELS as REGISTERED
from recbole_lecdsr.schema import GROUPS, PARAMETERS, default_properties, leaves, parameter_table, table, yaml_text

CHECKOUT = Path(__file__).parents[1]
PAGE = CHECKOUT / "docs" / "configuration.md"
OVERALL = CHECKOUT / "properties" / "overall.yaml"
MODELS = ("LeCDSR", "LeCDSR-paper", "TextSASRec")
_TABLE = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end of table -->)", re.S)


def main() -> None:
    """Write both files."""
    OVERALL.write_text(default_properties(), encoding="utf-8")
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def updated(page: str) -> str:
    """The page with its tables generated again."""
    tables = {group.title: parameter_table(group.parameters) for group in GROUPS}
    tables["LeCDSR"] = parameter_table(LECDSR_PARAMETERS, {name: values(name) for name in MODELS})
    tables["defaults of models"] = table_of_differing_defaults()
    tables |= {name: table_of_rival(name) for name, module in REGISTERED.items() if ".baselines." in module}
    return _TABLE.sub(lambda found: f"{found[1]}{tables[found[2]]}{found[3]}", page)


def values(model: str) -> dict[str, object]:
    """Full name -> value of each parameter that the property file of a model has."""
    read = read_property_file(CHECKOUT / "properties" / "model" / f"{model}.yaml")
    nested = {
        f"{name}.{key}": part for name, value in read.items() if isinstance(value, dict) for key, part in value.items()
    }
    return {**read, **nested}


def table_of_rival(model: str) -> str:
    """The parameters that the class of a rival declares."""
    declared = getattr(import_module(REGISTERED[model]), model).declared_parameters()
    return parameter_table(declared, {name: values(name) for name in (model, f"{model}-paper")})


def table_of_differing_defaults() -> str:
    """General parameters for which a model has another default."""
    models = [values(name) for name in MODELS]
    rows = [["parameter", "default", *MODELS]]
    for name, parameter in leaves(PARAMETERS):
        row = [parameter.default, *(found.get(name, parameter.default) for found in models)]
        if any(value != parameter.default for value in row):
            rows.append([f"`{name}`", *(f"`{yaml_text(value)}`" for value in row)])
    return table(rows)


if __name__ == "__main__":
    main()
