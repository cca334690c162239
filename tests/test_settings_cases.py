"""Settings that once ended in a traceback, or were accepted and had no effect: each is an error with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from recbole_lecdsr.cli import main
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import PROPERTIES
from recbole_lecdsr.quick_start import load_data_and_model
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import loaders

OF_LECDSR = ("adapter_hidden_size", "embedding_size", "train_neg_sample_args")  # in the settings of a pair


@pytest.fixture
def pair(tmp_path) -> dict[str, object]:
    return write_pair(tmp_path / "dataset", random_events(8))


def refusal(capsys, pair, *arguments: str, **values: object) -> str:
    """The one line that the command line prints for settings that it refuses before it reads data."""
    Path("run.yaml").write_text(yaml.safe_dump({**pair, **values}))
    assert main(["--config_files", "run.yaml", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--seed=-1", "seed must be a whole number from 0 to 4294967295, not -1"),
        ("--seed=1e22", "seed must be a whole number"),
        ("--learning_rate=.nan", "learning_rate must be a number of at least 0, not nan"),
        ("--learning_rate=-1", "learning_rate must be a number of at least 0"),
        ("--weight_decay=-1", "weight_decay must be a number of at least 0"),
        ("--dropout_prob=2", "dropout_prob must be a number from 0 to 1"),
        ("--average_decay=1", "average_decay is now called ema_decay"),
        ("--ema_decay=1", "ema_decay must be a number of at least 0 and below 1"),
        ("--train_epochs=[]", "train_epochs must be a list of PHASE:EPOCHS"),
        ("--topk=text", "topk must be a list of whole numbers"),
        ("--topk=5,10", "topk must be a list of whole numbers of at least 1, not '5,10'"),
        ("--load_col=null", "load_col must be a mapping of suffixes of files to lists of columns"),
        ("--load_col.item=null", "load_col must be a mapping of suffixes of files to lists of columns"),
        ("--load_col.item=price", "load_col must be a mapping of suffixes of files to lists of columns"),
        ("--load_col.inter=[user_id, timestamp]", "load_col.inter must include item_id"),
        ("--USER_ID_FIELD=uid", "give --load_col.inter=[uid,item_id,timestamp]"),
        ("--val_interval={rating: '[1,5]'}", "val_interval has the column 'rating', which is not loaded"),
        ("--val_interval={timestamp: x}", "intervals in quotes or lists of tokens"),
        ("--val_interval={timestamp: [1, 5]}", "intervals in quotes or lists of tokens"),
        ("--unload_col={inter: [rating]}", "unload_col.inter has no use with a list in load_col.inter"),
        ("--unused_col={inter: [item_id]}", "unused_col.inter must not have item_id"),
        ("--alias_of_user_id=[item_id]", "ITEM_ID_FIELD and alias_of_user_id are the same column 'item_id'"),
        ("--encoding=evil", "encoding must be an encoding"),
        ("--encoding=base64", "encoding must be an encoding"),
        ("--encoding=utf-16", "encoding must be an encoding"),
        ("--source_domain=x", "source_domain must be a mapping, not 'x'"),
        ("--output_dir=null", "output_dir must be a string, not None"),
        ('--output_dir="a\\0b"', "output_dir must be a string, not 'a\\x00b'"),
        ("--data_path=null", "data_path must be a string, not None"),
        ("--dataset=../x", "dataset must be a name, without a path, not '../x'"),
        ("--clip_grad_norm=x", "clip_grad_norm must be a number above 0"),
        ("--clip_grad_norm={max_norm: x}", "clip_grad_norm must be a number above 0"),
        ("--clip_grad_norm={max_norm: 5, norm: 2}", "clip_grad_norm must be a number above 0"),
        ("--gpu_id=x", "gpu_id must be the number of a GPU"),
        ("--user_inter_num_interval=x", "user_inter_num_interval must be an interval such as '[5,inf)'"),
        ("--user_inter_num_interval=[a,b]", "user_inter_num_interval must be an interval"),
        ("--user_inter_num_interval=[5", "--user_inter_num_interval: the value '[5' cannot be read as YAML"),
        ("--USER_ID_FIELD=item_id", "USER_ID_FIELD and ITEM_ID_FIELD are the same column 'item_id'"),
        ("--model=../x", "model '../x' is not the name of a class"),
        ("--model=RecVAE", "RecVAE is trained by a trainer of its own"),
        ("--model=NCL", "NCL is trained by a trainer of its own"),
        ("--topk=" + 3000 * "[", "its brackets are nested too deeply"),
        ("--topk=" + 3000 * "[" + 3000 * "]", "its brackets are nested too deeply"),
        ("--topk=" + 200 * "[" + 200 * "]", "topk must be a list of whole numbers of at least 1, not [[["),
        ("--stopping_step=-1", "stopping_step must be a whole number of at least 0"),
    ],
    ids=lambda text: text[:40] if text.startswith("--") else "",
)
def test_case_t1_a_setting_that_cannot_be_used_is_refused_in_one_line(pair, capsys, argument, message):
    line = refusal(capsys, pair, argument)
    assert message in line and len(line) < 500


def test_case_t1_wandb_that_is_not_installed_is_named(pair, capsys, monkeypatch):
    monkeypatch.setattr("recbole_lecdsr.config.find_spec", lambda name: None)
    assert "log_wandb: True needs the package wandb: pip install wandb" in refusal(capsys, pair, "--log_wandb=True")


def test_case_t1_a_list_from_python_may_be_nested_as_deeply_as_it_likes(pair):
    nested: list[object] = []
    for _ in range(3000):
        nested = [nested]
    with pytest.raises(UserError, match=r"topk must be .*, not a list nested too deeply"):
        LeCDSRConfig("LeCDSR", config_dict={**pair, "topk": nested}, command_line=[])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"load_col": {"item": ["item_id", "price"]}}, "source.item, line 3: price is '—', which is not a number"),
        ({"load_col": {"item": "*"}}, "source.item, line 3: price is '—', which is not a number"),
        ({"load_col": {"inter": "*"}, "val_interval": {"price": "[1,5]"}}, "val_interval has the column 'price'"),
        ({"val_interval": {"timestamp": ["x"]}}, "val_interval.timestamp must be an interval in quotes"),
        ({"val_interval": {"user_id": "[1,5]"}}, "val_interval.user_id must be a list of tokens"),
        ({"normalize_field": ["price"]}, "normalize_field has the column 'price'"),
        ({"additional_feat_suffix": ["kg"]}, "source.kg does not exist"),
    ],
    ids=["price", "price of all", "interval not in file", "interval of tokens", "tokens in interval", "normalize",
         "suffix"],
)  # fmt: skip
def test_case_t1_a_column_that_cannot_be_read_is_named_with_its_file(tmp_path, pair, values, message):
    items = tmp_path / "dataset" / "pair" / "source" / "source.item"
    items.write_text("item_id:token\tprice:float\ns0\t1.5\ns1\t—\ns2\t\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        CrossDomainSequentialDataset(LeCDSRConfig("LeCDSR", config_dict={**pair, **values}, command_line=[]))
    assert message in str(caught.value)


def test_case_t1_numbers_may_be_missing_and_columns_that_are_not_loaded_may_hold_anything(tmp_path, pair):
    items = tmp_path / "dataset" / "pair" / "source" / "source.item"
    items.write_text("item_id:token\tprice:float\tnote:float\ns0\t1.5\t—\ns1\t\t-\ns2\tNaN\tx\n", encoding="utf-8")
    for columns in ({}, {"item": ["item_id", "price"]}):
        CrossDomainSequentialDataset(LeCDSRConfig("LeCDSR", config_dict={**pair, "load_col": columns}, command_line=[]))


@pytest.mark.parametrize("model", ["LeCDSR", "SASRec", "Pop", "EASE"])
def test_case_t1_files_for_recbole_may_say_what_has_no_effect(pair, model):
    own = () if model == "LeCDSR" else OF_LECDSR
    values = {name: value for name, value in pair.items() if name not in own}
    stock = {"loss_type": "CE"} if model == "SASRec" else {}
    for negatives in (None, {"dynamic": False, "candidate_num": 0}):
        given = {**values, **stock, "train_neg_sample_args": negatives}
        config = LeCDSRConfig(model, config_dict=given, command_line=[])
        assert config["train_neg_sample_args"]["sample_num"] >= 1
        assert "dynamic" not in config["train_neg_sample_args"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nseed: 2\n", "mine.yaml, line 2: seed is given twice"),
        ("eval_args:\n  mode: full\n  mode: uni9\n", "mine.yaml, line 3: mode is given twice"),
        ("learner: adamww\n", "learner must be one of adam, adamw, .* not 'adamww': did you mean adamw"),
        ("temperature: -1\n", "temperature must be a number above 0, not -1"),
        ("ema_decay: 2\n", "ema_decay must be a number of at least 0 and below 1, not 2"),
        ("average_decay: 2\n", "average_decay is now called ema_decay"),
        ("state: EVIL\n", "state must be one of DEBUG, .* not 'EVIL'"),
    ],
    ids=["key twice", "nested key twice", "learner", "temperature", "ema_decay", "average_decay", "state"],
)
def test_case_r18_a_value_of_a_property_file_that_has_no_meaning_is_refused(pair, text, message):
    Path("mine.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        LeCDSRConfig("LeCDSR", ["mine.yaml"], pair, [])


def test_case_t5_the_folder_of_a_run_is_as_good_as_its_model(finished):
    config, *_ = load_data_and_model(finished["folder"])
    assert config["seed"] == load_data_and_model(finished["folder"] / "model.pth")[0]["seed"]
    with pytest.raises(UserError, match=r"model\.pth"):
        load_data_and_model(finished["folder"].parent)


def test_case_t5_an_unknown_data_set_says_where_it_was_sought_and_what_exists(tmp_path, pair, capsys):
    (tmp_path / "dataset" / "pair" / "pair.yaml").write_text("source_domain: {dataset: source}\n")
    assert main(["--dataset=piar", f"--data_path={tmp_path / 'dataset'}"]) == 1
    for line in capsys.readouterr().err.splitlines():
        assert (
            f"neither {PROPERTIES / 'dataset' / 'piar.yaml'} nor {tmp_path / 'dataset' / 'piar' / 'piar.yaml'}" in line
        )
        assert "did you mean pair?" in line and "there are" in line and "movielens" in line


@pytest.mark.parametrize("separator", [",", "|", ";", "\t", r"\t", " "])
def test_case_t5_a_separator_can_be_given_without_quotes(pair, separator):
    config = LeCDSRConfig("LeCDSR", config_dict=pair, command_line=[f"--field_separator={separator}"])
    assert config["field_separator"] == separator.replace(r"\t", "\t")


def test_case_t5_sampled_candidates_that_may_repeat_are_not_advised_to(pair):
    settings = {**pair, "eval_args": {"mode": "uni100"}}
    with pytest.raises(UserError, match="or repeatable: True"):
        loaders(settings)
    with pytest.raises(UserError, match="needs 100 candidates") as caught:
        loaders(settings, repeatable=True)
    assert "repeatable" not in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "remedy"),
    [("--topk=[1,3]", "NDCG@3"), ("--metrics=[Hit]", "Hit@20"), ("--metrics=[hit, ndcg] --topk=5", "ndcg@5")],
)
def test_case_t5_the_metric_that_is_advised_is_accepted(pair, argument, remedy):
    arguments = argument.split(" --")
    arguments = [arguments[0], *(f"--{text}" for text in arguments[1:])]
    with pytest.raises(UserError, match=f"give --valid_metric={remedy}"):
        LeCDSRConfig("LeCDSR", config_dict=pair, command_line=arguments)
    LeCDSRConfig("LeCDSR", config_dict=pair, command_line=[*arguments, f"--valid_metric={remedy}"])
