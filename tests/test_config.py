from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm import settings as llm
from recbole_lecdsr.property_files import PROPERTIES, read_property_file
from tests.helpers.pairs import random_events, write_pair


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path / "dataset", random_events(4))


def configure(pair, *command_line, files=(), **values) -> LeCDSRConfig:
    paths = []
    for number, content in enumerate(files):
        paths.append(f"file{number}.yaml")
        Path(paths[-1]).write_text(yaml.safe_dump(content))
    return LeCDSRConfig("LeCDSR", paths, {**pair, **values}, list(command_line))


def errors(pair, *command_line, **values) -> list[str]:
    with pytest.raises(UserError) as caught:
        configure(pair, *command_line, **values)
    return str(caught.value).splitlines()


def test_the_command_line_beats_config_dict_beats_later_beats_earlier_files_beats_properties(pair):
    pair = {key: value for key, value in pair.items() if key != "embedding_size"}
    default = read_property_file(PROPERTIES / "model" / "LeCDSR.yaml")["embedding_size"]
    assert configure(pair)["embedding_size"] == default
    assert configure(pair, files=[{"embedding_size": 12}])["embedding_size"] == 12
    assert configure(pair, files=[{"embedding_size": 12}, {"embedding_size": 14}])["embedding_size"] == 14
    assert configure(pair, files=[{"embedding_size": 12}], embedding_size=16)["embedding_size"] == 16
    assert configure(pair, "--embedding_size=18", embedding_size=16)["embedding_size"] == 18


def test_nested_values_can_be_given_one_by_one(pair):
    config = configure(pair, "--eval_args.mode=uni9", "--train_neg_sample_args.sample_num=7")
    assert config["eval_args"]["mode"] == {"valid": "uni9", "test": "uni9"}
    assert config["eval_args"]["split"] == {"LS": "valid_and_test"}
    assert config["train_neg_sample_args"]["sample_num"] == 7
    assert config["train_neg_sample_args"]["distribution"] == "uniform"


def test_a_misspelt_name_is_an_error_with_the_nearest_names(pair):
    (error,) = errors(pair, "--learnin_rate=0.1")
    assert "'learnin_rate'" in error
    assert "learning_rate" in error
    (error,) = errors(pair, "--eval_args.mod=full")
    assert "eval_args.mod" in error
    assert "mode" in error


def test_all_errors_of_a_configuration_are_told_at_once(pair):
    told = errors(
        pair, "--seeed=1", "--embedding_size=big", "--eval_args.mode=uni", "--topk=[0]", "--valid_metric=NDCG@3",
        "--selection=last", "--MAX_ITEM_LIST_LENGTH=0", "--train_neg_sample_args.sample_num=0", "--loss_type=hinge",
        "--eval_args.split={'LS': 'all'}", "--train_epochs=['BOTHH:3']", "--metrics=[AUC]", "--user_text=none",
    )  # fmt: skip
    for name in (
        "seeed", "embedding_size", "uni", "topk", "valid_metric", "selection", "MAX_ITEM_LIST_LENGTH", "sample_num",
        "loss_type", "split", "BOTHH", "AUC", "user_text",
    ):  # fmt: skip
        assert any(name in line for line in told), name


def test_a_parameter_of_recbole_that_would_have_no_effect_is_refused(pair):
    (error,) = errors(pair, "--checkpoint_dir=saved")
    assert "output_dir" in error


def test_an_unknown_model_names_the_known_ones():
    with pytest.raises(UserError, match="LeCDSR"):
        LeCDSRConfig("LeCDR", command_line=[])
    with pytest.raises(UserError, match=r"LeCDSR-papr.yaml|LeCDSR-paper"):
        LeCDSRConfig("LeCDSR-papr", command_line=[])


def test_a_variant_takes_the_properties_of_its_file(pair):
    pair = {key: value for key, value in pair.items() if key != "embedding_size"}
    config = LeCDSRConfig("LeCDSR-paper", config_dict=pair, command_line=[])
    assert config["embedding_size"] == 512
    assert config["mask_padding"] is False
    assert config.run_directory.name == f"LeCDSR-paper-{config['seed']}"


def test_a_data_set_without_properties_says_what_to_give(tmp_path):
    with pytest.raises(UserError, match=r"source_domain.dataset"):
        LeCDSRConfig(config_dict={"dataset": "nowhere", "data_path": str(tmp_path)}, command_line=[])


def test_a_domain_without_files_says_where_it_was_looked_for(tmp_path, pair):
    with pytest.raises(UserError, match=r"absent.*is not in"):
        configure(pair, "--source_domain.dataset=absent")


def test_the_plain_values_are_a_property_file_that_repeats_the_run(pair):
    config = configure(pair, "--eval_args.mode=uni9", "--seed=5", "--clip_grad_norm=3")
    Path("again.yaml").write_text(yaml.safe_dump(config.plain()))
    again = LeCDSRConfig(config_file_list=["again.yaml"], command_line=[])
    assert again.plain() == config.plain()
    assert again.run_directory == config.run_directory


def test_epochs_is_understood_as_in_recbole(pair):
    assert configure(pair, "--epochs=4")["train_epochs"] == ["BOTH:4"]
    with pytest.raises(UserError, match="in train_epochs"):
        configure(pair, "--epochs=4", train_epochs=["SOURCE:1", "BOTH:2"])


def test_foreign_arguments_of_the_program_are_left_alone_when_used_as_a_library(pair, monkeypatch):
    monkeypatch.setattr("sys.argv", ["notebook", "--f=kernel.json", "--seed=9"])
    config = LeCDSRConfig("LeCDSR", config_dict=pair)
    assert config["seed"] == 9


def test_every_property_is_explained_in_the_docs():
    text = (Path(__file__).parents[1] / "docs" / "properties.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`(\w+)", text))
    for path in [PROPERTIES / "overall.yaml", *(PROPERTIES / "model").glob("*.yaml")]:
        missing = set(read_property_file(path)) - explained
        assert not missing, f"{path.name}: {missing}"
    missing = llm.NAMES - set(re.findall(r"`llm\.(\w+)", text))
    assert not missing, missing
    assert set(read_property_file(PROPERTIES / "overall.yaml")["llm"]) == llm.NAMES
