from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from recbole_lecdsr.cli import main
from recbole_lecdsr.cli.compare import ABLATIONS, ablation_labels, split_names
from recbole_lecdsr.cli.options import run_options
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.schema import ITEM_PLACEBOS, USER_PLACEBOS


def refused(*arguments: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        run_options(arguments)
    return str(caught.value).splitlines()


def test_case_t5_a_property_file_may_have_blanks_and_commas_in_its_name():
    for name in ("my conf.yaml", "a, b.yaml", "first.yaml", "second.yaml"):
        Path(name).write_text("seed: 1\n")
    for given, files in (
        (["my conf.yaml"], ["my conf.yaml"]),
        (["my conf.yaml", "first.yaml"], ["my conf.yaml", "first.yaml"]),
        (["my conf.yaml,first.yaml"], ["my conf.yaml", "first.yaml"]),
        (["a, b.yaml"], ["a, b.yaml"]),
        (["first.yaml second.yaml"], ["first.yaml", "second.yaml"]),
        (["first.yaml, second.yaml"], ["first.yaml", "second.yaml"]),
        (["first.yaml absent.yaml"], ["first.yaml", "absent.yaml"]),
        (["no such.yaml"], ["no such.yaml"]),
    ):
        assert run_options(["--config_files", *given]).config_files == files


def test_case_t5_a_value_with_a_blank_is_no_property_file():
    options = run_options(["--config_files", "run.yaml", "--eval_args.split={'RS': [0.8, 0.1, 0.1]}", "--dataset=a b"])
    assert options.config_files == ["run.yaml"] and options.dataset == "a b"
    assert options.overrides == ["--eval_args.split={'RS': [0.8, 0.1, 0.1]}"]
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--models")
    assert run_options(["--models=LeCDSR, SASRec", "--seed=1"], parser).models == "LeCDSR, SASRec"


def test_case_t5_a_blank_in_place_of_an_equals_sign_says_how_to_write_it():
    assert refused("--learning_rate", "0.01", "--seed=1", "--topk", "[1, 3]", "", "--no_user_profile") == [
        "--learning_rate 0.01 must be written with an equals sign: --learning_rate=0.01",
        "--topk [1, 3] must be written with an equals sign: '--topk=[1, 3]'",
        "'' is not an option of the form --NAME=VALUE, see run_lecdsr.py --help",
        "'--no_user_profile' is not an option of the form --NAME=VALUE, see run_lecdsr.py --help",
    ]


def test_case_t5_a_misspelt_command_gets_a_suggestion(capsys):
    assert main(["comapre", "--models", "LeCDSR"]) == 1
    assert capsys.readouterr().err == "error: 'comapre' is not a command: did you mean compare?\n"


def test_case_t5_names_may_be_separated_by_commas_and_blanks():
    assert split_names("LeCDSR, SASRec ,,Pop") == ["LeCDSR", "SASRec", "Pop"]
    labels = ablation_labels(argparse.Namespace(profiles="a, b", encoders=""))
    assert labels == [*ABLATIONS, *(f"LeCDSR:user_embedding_file={name}.useremb" for name in "ab")]


def test_ablate_has_the_placebos_of_profiles_and_item_texts_by_default():
    labels = ablation_labels(argparse.Namespace(profiles="", encoders=""))
    assert labels[0] == "LeCDSR" and len(set(labels)) == len(labels)
    placebos = [label for label in labels if "_vectors=" in label]
    assert placebos == [
        *(f"LeCDSR:user_vectors={kind}" for kind in USER_PLACEBOS),
        *(f"LeCDSR:item_vectors={kind}" for kind in ITEM_PLACEBOS),
    ]
    assert {"LeCDSR:no_user_profile=True", "LeCDSR:no_item_semantics=True", "LeCDSR:sequence=single"} <= set(labels)
