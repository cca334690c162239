from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.lecdsr import LeCDSR
from recbole_lecdsr.model.registry import find_model, model_parameters
from recbole_lecdsr.property_files import PROPERTIES, read_property_file
from recbole_lecdsr.schema import Parameter
from tests.helpers.domains import CommonFactors
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


def test_the_former_name_of_a_loss_is_refused_with_its_name_of_today(pair):
    (error,) = errors(pair, "--loss_type=psl_hinge")
    assert error.endswith("not 'psl_hinge', which is now called own_sample_hinge")


def test_the_published_model_has_the_published_loss_and_the_other_one_by_its_name(pair):
    for line, loss in (([], "all_pairs_hinge"), (["--loss_type=own_sample_hinge"], "own_sample_hinge")):
        assert LeCDSRConfig("LeCDSR-paper", config_dict=pair, command_line=line)["loss_type"] == loss


def test_all_errors_of_a_configuration_are_reported_at_once(pair):
    reported = errors(
        pair, "--seeed=1", "--embedding_size=big", "--eval_args.mode=uni", "--topk=[0]", "--valid_metric=NDCG@3",
        "--selection=last", "--MAX_ITEM_LIST_LENGTH=0", "--train_neg_sample_args.sample_num=0", "--loss_type=hinge",
        "--eval_args.split={'LS': 'all'}", "--train_epochs=['BOTHH:3']", "--metrics=[AUC]", "--user_text=none",
    )  # fmt: skip
    for name in (
        "seeed", "embedding_size", "uni", "topk", "valid_metric", "selection", "MAX_ITEM_LIST_LENGTH", "sample_num",
        "loss_type", "split", "BOTHH", "AUC", "user_text",
    ):  # fmt: skip
        assert any(name in line for line in reported), name


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
    assert config.run_directory.name.startswith(f"LeCDSR-paper-{config['seed']}-")


def test_a_data_set_without_properties_says_what_to_give(tmp_path):
    with pytest.raises(UserError, match=r"source_domain.dataset"):
        LeCDSRConfig(config_dict={"dataset": "nowhere", "data_path": str(tmp_path)}, command_line=[])


def test_a_domain_without_files_says_where_they_were_sought(tmp_path, pair):
    with pytest.raises(UserError, match=r"absent.*is not in"):
        configure(pair, "--source_domain.dataset=absent")


def test_errors_of_values_of_combinations_of_the_model_and_of_folders_are_reported_together(pair):
    reported = errors(
        pair, "--seed=-1", "--topk=[3]", "--train_neg_sample_args.shared=False", "--source_domain.dataset=absent",
        "--target_domain.dataset=lost",
    )  # fmt: skip
    parts = ("seed", "valid_metric", "train_samples: sequences", "'absent' is not in", "'lost' is not in")
    assert len(reported) == len(parts)
    for part, line in zip(parts, reported, strict=True):
        assert part in line


def test_files_and_arguments_that_cannot_be_read_are_reported_together(pair):
    Path("bad.yaml").write_text("seed: 1\nseed: 2\n")
    with pytest.raises(UserError) as caught:
        LeCDSRConfig("LeCDSR", ["bad.yaml", "absent.yaml"], pair, ["--topk=[1", "--seed=1", "--seed=2"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "bad.yaml, line 2: seed is given twice" in lines[0] and "absent.yaml does not exist" in lines[1]
    assert lines[2].startswith("--seed is given twice") and lines[3].startswith("--topk: ")


def test_two_domains_must_be_two(pair):
    (error,) = errors(pair, "--source_domain.dataset=target")
    assert "source and target domain are both" in error


def test_a_data_set_that_is_not_known_says_what_exists(tmp_path, pair):
    (tmp_path / "dataset" / "pair" / "pair.yaml").write_text("source_domain: {dataset: source}\n")
    with pytest.raises(
        UserError, match=r"data set 'nowhere': neither .*nowhere.yaml nor .*nowhere.yaml .* pair"
    ) as caught:
        LeCDSRConfig(config_dict={"dataset": "nowhere", "data_path": str(tmp_path / "dataset")}, command_line=[])
    assert "movielens" in str(caught.value)
    with pytest.raises(UserError, match=r"pair.yaml does not name its target domain"):
        LeCDSRConfig(config_dict={"dataset": "pair", "data_path": str(tmp_path / "dataset")}, command_line=[])


def test_lists_of_one_may_be_given_without_brackets(pair):
    config = configure(pair, "--topk=10", "--item_text=title", "--metrics=ndcg", "--train_epochs=BOTH:3")
    assert config["topk"] == [10] and config["item_text"] == ["title"] and config["metrics"] == ["ndcg"]
    assert config["train_epochs"] == ["BOTH:3"]


def test_a_property_file_for_recbole_is_accepted(pair):
    own = ("adapter_hidden_size", "embedding_size", "train_neg_sample_args")
    values = {name: value for name, value in pair.items() if name not in own}
    stock = {"train_neg_sample_args": None, "save_dataset": False, "threshold": None, "loss_type": "CE"}
    config = LeCDSRConfig("SASRec", config_dict={**values, **stock}, command_line=[])
    assert config["train_neg_sample_args"]["sample_num"] == 1 and "threshold" not in config.plain()
    with pytest.raises(UserError, match="train_neg_sample_args must be a mapping, not None"):
        LeCDSRConfig("SASRec", config_dict={**values, **stock, "loss_type": "BPR"}, command_line=[])


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


def test_phases_of_a_models_own_train_on_the_samples_of_a_train_mode(pair):
    model = type("LeCDSR", (LeCDSR,), {"phases": {"PRETRAIN": "BOTH"}})
    config = LeCDSRConfig(model, config_dict={**pair, "train_epochs": ["PRETRAIN:4", "TARGET:2"]}, command_line=[])
    assert config["train_modes"] == ["BOTH", "TARGET"] and config["phase_names"] == ["PRETRAIN", "TARGET"]
    assert config["train_epochs"] == ["PRETRAIN:4", "TARGET:2"] and config["epoch_num"] == ["4", "2"]
    assert config.plain()["train_epochs"] == ["PRETRAIN:4", "TARGET:2"] and "phase_names" not in config.plain()
    assert configure(pair)["phase_names"] == configure(pair)["train_modes"] == ["BOTH"]
    (error,) = errors(pair, "--train_epochs=[PRETRAIN:4]")
    assert "has the phase 'PRETRAIN'; LeCDSR has BOTH, SOURCE, TARGET, OVERLAP" in error
    with pytest.raises(UserError, match="LeCDSR has PRETRAIN, BOTH, SOURCE, TARGET, OVERLAP: did you mean PRETRAIN"):
        LeCDSRConfig(model, config_dict={**pair, "train_epochs": ["PRETRIAN:4"]}, command_line=[])


def test_a_model_that_is_fitted_in_one_pass_trains_one_epoch(pair):
    model = type("LeCDSR", (LeCDSR,), {"fitted_once": True})
    for given in ({}, {"epochs": 7}, {"train_epochs": ["BOTH:9"]}):
        config = LeCDSRConfig(model, config_dict={**pair, "ema_decay": 0, **given}, command_line=[])
        assert config["train_epochs"] == ["BOTH:1"] and config["epochs"] == 1
    with pytest.raises(UserError, match="fitted in one pass and takes no steps whose weights could be averaged"):
        LeCDSRConfig(model, config_dict={**pair, "ema_decay": 0.9}, command_line=[])


class Mine(LeCDSR):
    """A model of one's own, without a property file."""

    hyperparameters = (
        Parameter("gate_bias", float, "Initial bias of the gate.", default=1.0, minimum=0),
        Parameter("source_gates", int, "Gates of the source.", default=2),
        Parameter("train_batch_size", int, "Rows in a step.", default=16, maximum=32),
    )


def test_parameters_that_a_class_declares_are_known_checked_and_have_their_default(pair):
    pair = {name: value for name, value in pair.items() if name != "train_batch_size"}
    config = LeCDSRConfig(Mine, config_dict=pair, command_line=[])
    assert config["gate_bias"] == 1.0 and config["source_gates"] == 2
    assert config["dropout_prob"] == 0.5, "declared by its base class"
    assert config["train_batch_size"] == 16, "and not the value in the property file of its base class"
    assert config["train_samples"] == "sequences", "from that file"
    given = ["--gate_bias=0.5", "--source_gates=3", "--train_batch_size=8"]
    config = LeCDSRConfig(Mine, config_dict=pair, command_line=given)
    assert (config["gate_bias"], config["source_gates"], config["train_batch_size"]) == (0.5, 3, 8)
    with pytest.raises(UserError) as caught:
        LeCDSRConfig(Mine, config_dict=pair, command_line=["--gate_bais=1", "--gate_bias=-1", "--train_batch_size=64"])
    assert str(caught.value).splitlines() == [
        "unknown parameter 'gate_bais': did you mean gate_bias?",
        "train_batch_size must be a whole number of at most 32, not 64",
        "gate_bias must be a number of at least 0, not -1",
    ]
    assert "gate_bias" in LeCDSRConfig(Mine, config_dict=pair, command_line=[]).plain()
    (error,) = errors(pair, "--gate_bias=1")
    assert "unknown parameter 'gate_bias'" in error


def test_a_class_of_another_interface_is_refused(pair):
    with pytest.raises(UserError, match="CommonFactors is no model of this plugin"):
        LeCDSRConfig(CommonFactors, config_dict=pair, command_line=[])


@pytest.mark.parametrize("name", ["../x", "Le CDSR", ""])
def test_a_model_must_be_the_name_of_a_class(pair, name):
    with pytest.raises(UserError, match="is not the name of a class"):
        find_model(name)


def test_the_parameters_of_a_model_have_its_defaults():
    paper = {one.name: one for one in model_parameters("LeCDSR-paper")}
    assert paper["embedding_size"].default == 512 and paper["embedding_size"].minimum == 1
    sasrec = {one.name: one for one in model_parameters("SASRec")}
    assert sasrec["n_layers"].default == 2 and "learning_rate" not in sasrec
    assert sasrec["n_layers"].error("two") and sasrec["hidden_act"].error("relu") is None


def test_foreign_arguments_of_the_program_are_left_alone_when_used_as_a_library(pair, monkeypatch):
    monkeypatch.setattr("sys.argv", ["notebook", "--f=kernel.json", "--seed=9"])
    config = LeCDSRConfig("LeCDSR", config_dict=pair)
    assert config["seed"] == 9


def test_case_t4_a_key_among_the_parameters_is_refused_before_it_is_written(pair):
    made_up = "not-a-real-key-" * 3
    with pytest.raises(UserError, match=r"llm.extra_body.api_key") as refused:
        configure(pair, llm={"extra_body": {"api_key": made_up}})
    assert made_up not in str(refused.value)
