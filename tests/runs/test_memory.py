from __future__ import annotations

import pytest
import torch

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.runs.memory import EVALUATION, explain_memory_errors
from tests.helpers.runs import train


@pytest.mark.parametrize(
    "name", ["embedding_size", "train_batch_size", "eval_batch_size", "MAX_ITEM_LIST_LENGTH", "attention_layers"]
)
def test_case_t1_a_size_beyond_all_memory_is_refused_before_data_are_read(pair, name):
    with pytest.raises(UserError, match=rf"{name} must be at most 2147483647, not 1000000000000") as caught:
        train(pair, **{name: 10**12})
    assert len(str(caught.value).splitlines()) == 1


def test_case_t1_a_size_within_mappings_and_of_a_stock_model_is_bounded_too(pair):
    with pytest.raises(UserError, match=r"train_neg_sample_args\.sample_num must be at most 2147483647"):
        train(pair, train_neg_sample_args={"sample_num": 10**12})
    own = {key: value for key, value in pair.items() if key not in ("embedding_size", "adapter_hidden_size")}
    with pytest.raises(UserError, match=r"hidden_size must be at most 2147483647"):
        train(own, "SASRec", hidden_size=10**12)


def test_case_t1_a_model_that_does_not_fit_into_memory_is_one_error_that_names_its_sizes(pair):
    with pytest.raises(
        UserError, match=r"not enough memory on cpu to make the model .*embedding_size \(2000000000\)"
    ) as caught:
        train(pair, embedding_size=2 * 10**9)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has …"),
              RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_an_allocation_that_fails_names_what_to_lower(pair, error):
    config = LeCDSRConfig("LeCDSR", config_dict={**pair, "eval_batch_size": 4096}, command_line=[])
    expected = r"to rank a batch with LeCDSR .*: lower eval_batch_size \(4096\)"
    with pytest.raises(UserError, match=expected) as caught, explain_memory_errors(config, "rank a batch", EVALUATION):
        raise error
    assert len(str(caught.value).splitlines()) == 1


def test_other_errors_stay_as_they_are(pair):
    config = LeCDSRConfig("LeCDSR", config_dict=pair, command_line=[])
    with pytest.raises(RuntimeError, match="shapes cannot"), explain_memory_errors(config, "rank a batch"):
        raise RuntimeError("shapes cannot be multiplied")
