"""What a model says that it reads, how large it is and what it is trained on."""

from __future__ import annotations

import pytest

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.model.baselines.recbole_cdr import CDR_MODELS
from recbole_lecdsr.model.conditions import INTERACTIONS, SEQUENCES, TARGETS, Conditions
from recbole_lecdsr.runs.result import RunResult
from tests.helpers.pages import table_of_models
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import train

OWN, INPUT, BOTH = ("history", "parameters"), ("input",), ("mixed", "single")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    pair = write_pair(tmp_path_factory.mktemp("conditions") / "dataset", random_events())
    return {key: value for key, value in pair.items() if not key.endswith("_size") and key != "train_epochs"}


def configure(settings, model, **changes) -> LeCDSRConfig:
    return LeCDSRConfig(model, config_dict={**settings, **changes}, command_line=[])


def conditions(settings, model, **changes) -> Conditions:
    config = configure(settings, model, **changes)
    return config.model_class.describe_conditions(config.final_config_dict)


# texts, profile, times; domain of the target; windows; size, layers; trained on
EXPECTED = {
    "LeCDSR": ("yyy", ("input", "parameters"), ("mixed",), 128, 3, SEQUENCES),
    "LeCDSR-paper": ("yy.", (), ("mixed",), 512, None, f"{TARGETS}; of at least 2 earlier interactions"),
    "TextSASRec": ("y..", INPUT, ("mixed",), 128, 3, SEQUENCES),
    "ABXI": ("...", OWN, BOTH, 64, 1, SEQUENCES),
    "C2DSR": ("...", OWN, ("mixed",), 64, 2, SEQUENCES),
    "TriCDR": ("...", OWN, BOTH, 64, 2, SEQUENCES),
    "LLM4CDSR": ("yy.", OWN, ("mixed",), 128, 2, SEQUENCES),
    "LLMESR": ("yy.", (), ("mixed",), 64, 2, f"{SEQUENCES}; histories of similar users teach"),
    "UniSRec": ("y..", (), ("mixed",), 128, 2, SEQUENCES),
    "AlphaFuse": ("y..", (), ("mixed",), 128, 1, TARGETS),
    "SASRec": ("...", (), ("mixed",), 64, 2, TARGETS),
    "SASRecF": ("y..", (), ("mixed",), 64, 2, TARGETS),
    "GRU4Rec": ("...", (), ("mixed",), 64, 1, TARGETS),
    "LightGCN": ("...", (), (), 64, 1, INTERACTIONS),
    "BPR": ("...", (), (), 64, None, INTERACTIONS),
    "Pop": ("...", (), (), None, None, f"{INTERACTIONS}, in one pass"),
}


@pytest.mark.parametrize("model", EXPECTED)
def test_each_model_alone(settings, model):
    known, domain, history, size, layers, trained_on = EXPECTED[model]
    item_texts, user_profiles, times = (letter == "y" for letter in known)
    assert conditions(settings, model, score_fusion=False, MAX_ITEM_LIST_LENGTH=15) == Conditions(
        item_texts=item_texts, user_profiles=user_profiles, times=times, target_domain=domain, counts=model == "Pop",
        history=history, window=15 if history else None, embedding_size=size, layers=layers, trained_on=trained_on,
    )  # fmt: skip


@pytest.mark.parametrize("model", [name for name in EXPECTED if name not in ("Pop", "LeCDSR-paper")])
def test_the_size_is_that_of_a_table_of_the_model(settings, model):
    config = configure(settings, model, score_fusion=False)
    data = CrossDomainSequentialDataset(config)
    made, stated = config.model_class(config, data), EXPECTED[model][3]
    smallest = min(map(len, data.domain_items))
    tables = {
        parameter.shape[1] for parameter in made.parameters() if parameter.dim() == 2 and len(parameter) > smallest
    }
    assert stated in tables


def test_score_fusion_counts_reads_texts_and_times_and_withholds(settings):
    alone, fused = (conditions(settings, "SASRec", score_fusion=fusion) for fusion in (False, True))
    assert not (alone.counts or alone.item_texts or alone.times or alone.withholds_calibration or alone.target_domain)
    assert fused.counts and fused.item_texts and fused.times and fused.withholds_calibration
    assert fused.target_domain == OWN
    assert not conditions(settings, "SASRec", score_fusion=True, no_item_semantics=True).item_texts
    assert conditions(settings, "LeCDSR", score_fusion=True).target_domain == ("history", "input", "parameters")


def test_parameters_change_the_conditions(settings):
    single = conditions(settings, "SASRec", sequence="single")
    assert (single.history, single.target_domain) == (("single",), ("history",))
    phases = conditions(settings, "UniSRec", train_epochs=["PRETRAIN:1", "BOTH:1"])
    assert phases.trained_on == f"{SEQUENCES}; phases PRETRAIN, BOTH"
    few = conditions(settings, "C2DSR", loss_positions=10, drop_one_sided=True)
    assert few.trained_on == (
        f"{SEQUENCES}; only the newest 10 places of a window; only windows with targets of both domains"
    )
    assert not conditions(settings, "LLMESR", user_loss_weight=0.0).user_profiles
    assert conditions(settings, "LeCDSR", no_user_profile=True, score_fusion=False).target_domain == INPUT
    assert not conditions(settings, "LeCDSR", time_embedding_size=0, score_fusion=False).times


def test_the_result_of_a_run_has_them(finished, settings):
    read = RunResult.read(finished["folder"] / "result.json").conditions
    assert read is not None and (read.window, read.embedding_size, read.withholds_calibration) == (6, 8, True)
    result = train(settings, "BPR", train_epochs=["BOTH:1"])["result"]
    assert result["conditions"] == {**vars(conditions(settings, "BPR")), "target_domain": [], "history": []}


# ------------------------------------------------------------------ the table of models in the documentation

TABLE = {name: row for name, row in table_of_models().items() if name not in CDR_MODELS}


@pytest.mark.parametrize("model", TABLE)
def test_the_documented_inputs_are_those_of_the_code(settings, model):
    stated, found = TABLE[model]["inputs"].partition(";")[0], conditions(settings, model, score_fusion=False)
    inputs = {
        "item texts": found.item_texts,
        "profiles": found.user_profiles,
        "times": found.times,
        "counts": found.counts,
        "domain asked for": "input" in found.target_domain,
        "windows per domain": "history" in found.target_domain,
    }
    assert {name: name in stated for name in inputs} == inputs


@pytest.mark.parametrize("model", TABLE)
def test_the_documented_cost_says_what_a_row_is_and_in_how_many_processes(settings, model):
    cost, trained_on = TABLE[model]["cost"], conditions(settings, model, score_fusion=False).trained_on
    for kind, words in ((SEQUENCES, "per window"), (TARGETS, "per target")):
        assert not trained_on.startswith(kind) or words in cost
    assert not trained_on.startswith(INTERACTIONS) or "per target" not in cost
    assert ("one process" in cost) is not configure(settings, model).model_class.supports_distributed
