from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml
from recbole.utils import argument_list
from recbole_cdr.utils import train_mode2state

from recbole_lecdsr import schema
from recbole_lecdsr.data.embeddings.paths import EMBEDDING_FILES
from recbole_lecdsr.data.splitting import split_counts
from recbole_lecdsr.llm.encoders.reduction import REDUCTIONS
from recbole_lecdsr.llm.settings import LLMSettings
from recbole_lecdsr.model.parameters import LECDSR_PARAMETERS
from recbole_lecdsr.model.ranking_losses import RANKING_LOSSES
from recbole_lecdsr.property_files import PROPERTIES, merge, nest, read_property_file
from recbole_lecdsr.schema import PARAMETERS, Parameter

CHECKOUT = Path(__file__).parents[1]
ALL = dict(schema.walk((*PARAMETERS, *LECDSR_PARAMETERS)))
DEFAULTS = {parameter.name: parameter.default_value for parameter in PARAMETERS}
# What RecBole lists and nothing here reads.
WITHOUT_EFFECT = {
    "seq_len", "HEAD_ENTITY_ID_FIELD", "TAIL_ENTITY_ID_FIELD", "RELATION_ID_FIELD", "ENTITY_ID_FIELD",
    "alias_of_entity_id", "alias_of_relation_id",
}  # fmt: skip


@pytest.fixture(scope="module")
def generator():
    """docs/generate_configuration.py as a module."""
    spec = importlib.util.spec_from_file_location("generate_configuration", CHECKOUT / "docs/generate_configuration.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def errors(**values: object) -> list[str]:
    return schema.validate_values(values, (*PARAMETERS, *LECDSR_PARAMETERS))


def combination_errors(**values: object) -> list[str]:
    return schema.validate_combinations(merge(DEFAULTS, values))


# ------------------------------------------------------------------ one declaration


def test_neither_torch_nor_a_framework_is_imported():
    code = (
        "import sys, types; package = types.ModuleType('recbole_lecdsr'); package.__path__ = [sys.argv[1]]; "
        "sys.modules['recbole_lecdsr'] = package; import recbole_lecdsr.schema, recbole_lecdsr.model.parameters; "
        "sys.exit(', '.join({'torch', 'numpy', 'recbole', 'recbole_cdr'} & sys.modules.keys()) or 0)"
    )
    package = CHECKOUT / "recbole_lecdsr"
    done = subprocess.run([sys.executable, "-c", code, str(package)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_file_of_defaults_is_written_from_the_declarations():
    text = (PROPERTIES / "overall.yaml").read_text(encoding="utf-8")
    assert text == schema.default_properties(), "run python docs/generate_configuration.py"
    assert yaml.safe_load(text) == DEFAULTS


def test_the_reference_is_written_from_the_declarations(generator):
    page = generator.PAGE.read_text(encoding="utf-8")
    assert page == generator.updated(page), "run python docs/generate_configuration.py"
    explained = set(re.findall(r"^\| `(\S+?)`", page, flags=re.M))
    assert not {name for name, _ in schema.leaves((*PARAMETERS, *LECDSR_PARAMETERS))} - explained


def test_parameters_of_models_in_property_files_are_explained(generator):
    explained = set(re.findall(r"`(\w+)", generator.PAGE.read_text(encoding="utf-8")))
    for path in (PROPERTIES / "model").glob("*.yaml"):
        assert not set(read_property_file(path)) - explained, path.name


def test_the_declared_defaults_of_lecdsr_are_those_of_its_property_file():
    values = read_property_file(PROPERTIES / "model" / "LeCDSR.yaml")
    assert {one.name: values[one.name] for one in LECDSR_PARAMETERS} == {
        one.name: one.default for one in LECDSR_PARAMETERS
    }


def test_settings_of_a_language_model_are_the_declared_ones():
    declared = schema.find("llm").default_value
    assert [field.name for field in fields(LLMSettings)] == list(declared)
    settings = LLMSettings()
    assert {**declared, "event_text": tuple(declared["event_text"])} == {
        name: getattr(settings, name) for name in declared
    }


def test_every_parameter_of_recbole_is_declared_or_refused_or_without_effect():
    groups = ("general", "training", "evaluation", "dataset")
    listed = {name for group in groups for name in getattr(argument_list, f"{group}_arguments")}
    assert listed - ALL.keys() - schema.UNSUPPORTED.keys() == WITHOUT_EFFECT
    assert not listed & schema.UNSUPPORTED.keys() & ALL.keys()


def test_choices_are_those_of_the_code():
    assert set(schema.find("embedding_reduction").choices) == set(REDUCTIONS)
    assert set(ALL["loss_type"].choices) == set(RANKING_LOSSES)
    assert set(schema.TRAIN_MODES) == set(train_mode2state)
    for name, ending in EMBEDDING_FILES.items():
        assert errors(**{name: f"mine{ending}"}) == []
        assert errors(**{name: "mine.inter"}) and errors(**{name: f"folder/mine{ending}"})


@pytest.mark.parametrize(
    "split",
    [{"LS": "valid_and_test"}, {"LS": "valid_only"}, {"LS": "test_only"}, {"RS": [8, 1, 1]}, {"RS": [0.8, 0.0, 0.2]},
     {"LS": "all"}, {"RS": [0.9, 0.1]}, {"RS": "8:1:1"}, {}],
    ids=str,
)  # fmt: skip
def test_a_split_is_allowed_if_samples_can_be_split_by_it(split):
    allowed = not errors(eval_args={"split": split})
    try:
        split_counts(np.array([5]), split)
    except ValueError:
        assert not allowed
    else:
        assert allowed


@pytest.mark.parametrize("name", ALL)
def test_a_declaration_is_complete(name):
    parameter = ALL[name]
    assert parameter.help.endswith(".") or parameter.help.endswith("…")
    assert 0 < len(parameter.summary) <= 80
    of_domain = name.startswith(("source_domain.", "target_domain."))
    if not of_domain:  # there, only what is given counts
        assert parameter.error(parameter.default_value) is None
    assert all(parameter.error(choice) is None for choice in parameter.choices if list not in parameter.kinds)


@pytest.mark.parametrize("path", sorted(PROPERTIES.glob("*/*.yaml")), ids=lambda path: path.stem)
def test_the_values_of_property_files_are_allowed(path):
    if path.parent.name not in ("model", "dataset"):
        pytest.skip("no parameters of a run")
    assert schema.validate_values(read_property_file(path), PARAMETERS) == []


# ------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed", -1, "seed must be a whole number from 0 to 4294967295, not -1"),
        ("seed", True, "seed must be a whole number from 0 to 4294967295, not True"),
        ("learning_rate", float("nan"), "learning_rate must be a number of at least 0, not nan"),
        ("learning_rate", "fast", "learning_rate must be a number of at least 0, not 'fast'"),
        ("weight_decay", -1, "weight_decay must be a number of at least 0, not -1"),
        ("ema_decay", 1, "ema_decay must be a number of at least 0 and below 1, not 1"),
        ("dropout_prob", 2, "dropout_prob must be a number from 0 to 1, not 2"),
        ("use_gpu", "no", "use_gpu must be True or False, not 'no'"),
        ("learner", "adamww", "learner must be one of adam, adamw, sgd, adagrad, rmsprop, sparse_adam, not 'adamww': "
                              "did you mean adamw?"),
        ("network", None, "network must be published or causal, not None"),
        ("output_dir", None, "output_dir must be a string, not None"),
        ("output_dir", 2024, "output_dir must be a string, not 2024: put it in quotes, '2024'"),
        ("load_col", None, "load_col must be a mapping of suffixes of files to lists of columns"),
        ("source_domain", "books", "source_domain must be a mapping, not 'books'"),
        ("encoding", "evil", "encoding must be an encoding that contains ASCII, such as utf-8, not 'evil'"),
        ("user_inter_num_interval", "5", "user_inter_num_interval must be an interval such as '[5,inf)', or ~"),
        ("topk", [0], "topk must be a list of whole numbers of at least 1, not [0]"),
        ("topk", "5,10", "topk must be a list of whole numbers of at least 1, not '5,10'"),
        ("as_of", "0.7,1.5", "as_of must be a list of shares above 0 and of at most 1, such as [0.7, 1.0]"),
        ("profile_file", "a,,b", "profile_file must be the name of a file, or a list of names, not 'a,,b'"),
        ("profile_file", "a,a", "profile_file must be the name of a file, or a list of names, not 'a,a'"),
        ("topk", [], "topk must be a list of whole numbers of at least 1, not []"),
        ("metrics", ["AUC"], "metrics must be a list of Hit, NDCG, MRR, Recall, Precision or MAP, not ['AUC']"),
        ("train_epochs", ["BOTH"], "train_epochs must be a list of PHASE:EPOCHS, such as ['BOTH:30'], not ['BOTH']"),
        ("train_epochs", ["BOTH:0"], "train_epochs must be a list of PHASE:EPOCHS"),
        ("train_epochs", [], "train_epochs must be a list of PHASE:EPOCHS"),
        ("clip_grad_norm", {"norm_type": 2}, "clip_grad_norm must be a number above 0, or a mapping such as"),
        ("benchmark_filename", ["train", "test"], "benchmark_filename must be a list of three names"),
        ("eval_args.mode", "uni", "eval_args.mode must be full, uniN or popN (such as uni999)"),
        ("eval_args.mode", {"valid": "uni9"}, "eval_args.mode must be full"),
        ("eval_args.order", "RO", "eval_args.order must be TO, not 'RO'"),
        ("eval_args.group_by", "item", "eval_args.group_by must be user or none, or ~ for none, not 'item'"),
        ("train_neg_sample_args.sample_num", 0, "train_neg_sample_args.sample_num must be a whole number of"),
        ("source_domain.val_interval", 3, "source_domain.val_interval must be a mapping of columns to intervals"),
        ("llm.backend", "opena", "llm.backend must be one of openai, batch, transformers, history, not 'opena'"),
        ("llm.model", "", "llm.model must be a name or a path, or ~ for none, not ''"),
        ("llm.model", 7, "llm.model must be a name or a path, or ~ for none, not 7"),
        ("llm.prompt", None, "llm.prompt must be"),
        ("llm.event_text", [1], "llm.event_text must be a list of fields"),
        ("llm.max_tokens", 1.5, "llm.max_tokens must be a whole number of at least 1, or ~ for none, not 1.5"),
        ("llm.temperature", "hot", "llm.temperature must be a number of at least 0, or ~ for none, not 'hot'"),
        ("llm.top_p", 1.5, "llm.top_p must be a number from 0 to 1"),
        ("llm.requests_per_minute", 0, "llm.requests_per_minute must be a number above 0"),
        ("llm.timeout", None, "llm.timeout must be a number above 0, not None"),
        ("llm.extra_body", None, "llm.extra_body must be a mapping without"),
        ("llm.extra_body", {"messages": []}, "llm.extra_body must be a mapping without"),
        ("llm.device_map", 3, "llm.device_map must be a string or a mapping, or ~ for none, not 3"),
    ],
    ids=str,
)  # fmt: skip
def test_an_error_has_the_name_of_the_parameter_what_is_allowed_and_the_value(name, value, message):
    (error,) = errors(**nest(name, value))
    assert error.startswith(message)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 1), ("dataset", 2014), ("gpu_id", 0), ("state", "error"), ("learner", "AdamW"),
        ("topk", 10), ("metrics", "hit"), ("as_of", 1), ("as_of", "0.7,1.0"), ("as_of", None),
        ("profile_file", "a.jsonl"), ("profile_file", "a.jsonl,b.jsonl"), ("user_text_fields", "food,both"),
        ("train_epochs", "BOTH:3"), ("item_text", "title"),
        ("user_inter_num_interval", [5, 20]), ("user_inter_num_interval", "(0,1];[3,4)"), ("val_interval", None),
        ("clip_grad_norm", {"max_norm": 5}), ("clip_grad_norm", 5),
        ("eval_args.mode", {"valid": "uni9", "test": "full"}),
        ("llm.max_tokens", None), ("llm.device_map", "auto"), ("llm.device_map", {"": 0}), ("llm.extra_body", {"a": 1}),
        ("source_domain.item_inter_num_interval", "[2,inf)"), ("train_epochs", ["PRETRAIN:5", "BOTH:3"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_is_allowed(name, value):
    assert errors(**nest(name, value)) == []


def test_lists_may_be_given_without_brackets():
    values = {
        "topk": 10, "llm": {"event_text": "title"}, "metrics": ("Hit", "MRR"), "encoder_devices": None,
        "as_of": "0.7,1", "profile_file": "early.jsonl, full.jsonl",
    }  # fmt: skip
    assert schema.normalize_lists(values, PARAMETERS) == {
        "topk": [10], "llm": {"event_text": ["title"]}, "metrics": ["Hit", "MRR"], "encoder_devices": None,
        "as_of": [0.7, 1.0], "profile_file": ["early.jsonl", "full.jsonl"],
    }  # fmt: skip


def test_parameters_with_a_default_alone_are_checked_by_its_kind():
    cases = [(True, 1), (2, 2.5), (2, True), (0.5, "x"), ({"a": 1}, 3), ([64], 0.5)]
    for default, wrong in cases:
        assert schema.from_default("name", default).error(wrong), (default, wrong)
        assert schema.from_default("name", default).error(default) is None
        assert schema.from_default("name", default).error(None) is None
    for default in (None, "text"):
        assert schema.from_default("name", default).error(object()) is None


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learnin_rate": 1}, "unknown parameter 'learnin_rate': did you mean learning_rate"),
        ({"eval_args": {"mdoe": 1}}, "unknown parameter 'eval_args.mdoe': did you mean eval_args.mode?"),
        ({"llm": {"modle": 1}}, "unknown parameter 'llm.modle': did you mean llm.model?"),
        ({"sample_num": 1}, "unknown parameter 'sample_num': did you mean train_neg_sample_args.sample_num?"),
        ({"source_domain": {"dataste": 1}}, "unknown parameter 'source_domain.dataste': did you mean source_domain.d"),
        ({"qqq": 1}, "unknown parameter 'qqq': see docs/configuration.md"),
        ({"evidence": True}, "evidence is now called score_fusion"),
        ({"average_decay": 0.9}, "average_decay is now called ema_decay"),
        ({"calendar_size": 4}, "calendar_size is now called time_embedding_size"),
        ({"checkpoint_dir": "x"}, "checkpoint_dir has no effect here: use output_dir"),
        ({"eval_args": {"split_valid": {}}}, "eval_args.split_valid has no effect here: both domains are split by"),
    ],
    ids=str,
)  # fmt: skip
def test_a_name_that_is_not_known_has_a_remedy(given, message):
    (error,) = schema.validate_names(given, schema.parameter_names(PARAMETERS))
    assert error.startswith(message)


def test_what_is_not_supported_may_be_given_if_it_asks_for_nothing():
    given = {"save_dataset": False, "threshold": None, "train_neg_sample_args": {"dynamic": False, "candidate_num": 0}}
    assert schema.without_neutral(given) == {"train_neg_sample_args": {}}
    given = {"save_dataset": True, "train_neg_sample_args": {"dynamic": True}}
    assert schema.without_neutral(given) == given


# ------------------------------------------------------------------ combinations


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"topk": [3]}, "valid_metric must be one of metrics ['Hit', 'NDCG', 'MRR'] at one of topk [3], not 'NDCG@10'"),
        ({"valid_metric": "NDCG"}, "valid_metric must be one of metrics"),
        ({"refit": True, "selection": "per_domain_best"}, "refit: True trains one model again"),
        ({"train_neg_sample_args": {"shared": True, "distribution": "popularity"}}, "train_neg_sample_args.shared: "),
        ({"USER_ID_FIELD": "item_id"}, "USER_ID_FIELD and ITEM_ID_FIELD are the same column 'item_id'"),
        ({"USER_ID_FIELD": "uid"}, "load_col.inter must include uid, with the columns of users, items and times, not"),
        ({"source_domain": {"load_col": {"item": ["item_id"]}}}, "load_col.inter must include user_id, item_id"),
        ({"val_interval": {"price": "[1,2]"}}, "val_interval has the column 'price', which is not loaded: add"),
    ],
    ids=str,
)  # fmt: skip
def test_values_that_do_not_go_together_are_refused(values, message):
    found = combination_errors(**values)
    assert any(error.startswith(message) for error in found), found


def test_values_that_go_together_are_not_refused():
    assert combination_errors() == []
    assert combination_errors(valid_metric="mrr@5", metrics=["MRR"]) == []
    assert combination_errors(load_col={"inter": "*"}, val_interval={"price": "[1,2]"}) == []
    assert combination_errors(val_interval={"timestamp": "[1,2]"}) == []


@pytest.mark.parametrize("value", [None, "x", 3, [], {}, [None], {"shared": 1}], ids=str)
def test_values_of_another_kind_do_not_stop_the_check_of_combinations(value):
    for name in DEFAULTS:
        schema.validate_combinations({**DEFAULTS, name: value})


# ------------------------------------------------------------------ help


def test_help_has_headings_names_defaults_and_fits_a_terminal():
    text = schema.describe(LECDSR_PARAMETERS, "LeCDSR")
    assert max(map(len, text.splitlines())) <= 80
    for part in ("Parameters of LeCDSR:", "Training:", "--learning_rate=0.001", "--eval_args.mode=full"):
        assert part in text
    assert "--llm.price_in" not in text


def test_help_on_everything_has_every_parameter():
    text = schema.describe(everything=True)
    for name, _ in schema.leaves(PARAMETERS):
        assert f"  --{name}=" in text


def test_help_has_the_parameters_of_a_model_of_ones_own():
    gate = Parameter("gate_bias", float, "Initial bias of the gate.", default=1.0, minimum=0)
    text = schema.describe([gate], "Mine")
    assert "Parameters of Mine:\n  --gate_bias=1.0               Initial bias of the gate\n" in text


@pytest.mark.parametrize("value", [None, True, 3, 1e-4, "text", "0", "True", "a, b", "\t", "", "it's", "~", "[0,inf)",
                                   [1, "a: b"], {"RS": [0.8, 0.1]}, {"a": {}}], ids=repr)  # fmt: skip
def test_values_are_written_as_property_files_read_them(tmp_path, value):
    (tmp_path / "one.yaml").write_text(f"name: {schema.yaml_text(value)}\n")
    assert read_property_file(tmp_path / "one.yaml") == {"name": value}
