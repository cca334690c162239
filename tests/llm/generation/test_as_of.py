"""Profiles as of some first interactions: ``profile --as_of``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from recbole_lecdsr.data.constants import TRAIN
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.base import Answer, Backend
from recbole_lecdsr.llm.generation.profiler import Profiler
from recbole_lecdsr.llm.text_sources import count_as_of
from tests.helpers.language_models import write_tiny_causal
from tests.helpers.llm_server import serve
from tests.helpers.pairs import Event, random_events, write_pair
from tests.helpers.runs import load
from tests.integration.test_leak import HELD_OUT, WITH_TIME, in_order
from tests.llm.generation.test_profiler import lines, run, write_titles

PROFILES = Path("dataset/pair/profiles.jsonl")
COMMAND = ("profile", "--config_files", "run.yaml", "--llm.model=m")
EARLY, FULL = 5, 8  # 70 % and all of the training interactions of a user of `random_events`


@pytest.fixture
def pair() -> dict[str, object]:
    settings = write_pair(Path("dataset"), random_events(6))
    for domain in ("source", "target"):
        write_titles(Path("dataset"), domain)
    Path("run.yaml").write_text(yaml.safe_dump(settings))
    return settings


@pytest.fixture
def server(endpoint):
    with serve() as running:
        endpoint(running)
        yield running


def prompts(settings, shares: list[float] | None, **changes) -> dict[tuple[str, int | None], str]:
    """Subject -> the messages of its first stage, as text."""
    llm = {"model": "m", **changes.pop("llm", {})}
    job = Profiler(load(settings, llm=llm, as_of=shares, **changes))
    stage = job.template.stages[0]
    return {
        tuple(subject): json.dumps([job.template.render(stage, part.values) for part in job.source.parts(n, stage)])
        for n, subject in enumerate(job.source.subjects)
    }


def events_with_own_items(n_users: int = 6) -> list[Event]:
    """Interactions of which each has an item of its own, named after user and row."""
    drawn = enumerate(random_events(n_users))
    return [(user, f"{domain[0]}{user}.{row}", domain, time) for row, (user, _, domain, time) in drawn]


# ------------------------------------------------------------------ how many interactions


@pytest.mark.parametrize(
    ("n_train", "shares", "expected"),
    [(8, [0.7, 1.0], [5, 8]), (8, [1.0, 0.7, 0.7], [5, 8]), (10, [0.7], [7]), (30, [0.7], [21]), (100, [0.29], [29]),
     (1, [0.1, 0.7, 1.0], [1]), (3, [0.01], [1]), (3, [0.7, 0.9], [2]), (5, [1], [5])],
)  # fmt: skip
def test_a_share_counts_whole_interactions_and_at_least_one(n_train, shares, expected):
    assert count_as_of(n_train, shares) == expected


# ------------------------------------------------------------------ what a prompt knows


@pytest.mark.parametrize("template", ["lecdsr", "hierarchical"])
@pytest.mark.parametrize("split", WITH_TIME)
def test_as_of_prompts_know_the_first_training_interactions_and_no_other(tmp_path, split, template):
    events = events_with_own_items()
    settings = write_pair(tmp_path, events)
    data = load(settings, eval_args=WITH_TIME[split])
    training = {data.item_token[item] for item in data.log.item[data.log.split == TRAIN]}
    found = prompts(settings, [0.3, 0.7, 1.0], eval_args=WITH_TIME[split], llm={"prompt": template})
    counts: dict[str, set[int]] = {}
    for (user, count), prompt in found.items():
        own = [events[row][1] for row in in_order(events)[user]]
        shown = [item for item in own if f"] {item}\\n" in prompt]
        assert shown == own[:count] and set(shown) <= training
        counts.setdefault(user, set()).add(count)
    for user, own_counts in counts.items():
        n_train = len(training & {events[row][1] for row in in_order(events)[user]})
        assert own_counts == set(count_as_of(n_train, [0.3, 0.7, 1.0])) and max(own_counts) == n_train


@pytest.mark.parametrize("template", ["lecdsr", "hierarchical"])
def test_as_of_prompts_are_unchanged_by_all_later_interactions(tmp_path, template):
    events = random_events()
    later = list(events)
    for own in in_order(events).values():
        for row in own[EARLY:]:
            user, _, domain, time = events[row]
            later[row] = (user, f"{domain[0]}{(row + 1) % 12}", domain, time)
    found = [
        prompts(write_pair(tmp_path / name, rows), [0.7, 1.0], llm={"prompt": template})
        for name, rows in (("one", events), ("other", later))
    ]
    early = [{key: prompt for key, prompt in one.items() if key[1] == EARLY} for one in found]
    assert len(early[0]) == 30 and early[0] == early[1]
    assert found[0] != found[1], "the profiles of all training interactions notice the change"


def test_the_latest_of_the_first_interactions_are_kept_within_the_budget(tmp_path):
    settings = write_pair(tmp_path, events_with_own_items())
    found = prompts(settings, [0.7], llm={"max_history_tokens": 20})
    whole = prompts(settings, [0.7])
    for key, prompt in found.items():
        shown = [line.partition("] ")[2] for line in json.loads(prompt)[0][1]["content"].split("\n") if "] " in line]
        known = [
            line.partition("] ")[2] for line in json.loads(whole[key])[0][1]["content"].split("\n") if "] " in line
        ]
        assert 0 < len(shown) < len(known) == EARLY and shown == known[-len(shown) :]


def test_the_share_of_all_asks_what_a_profile_without_as_of_asks(tmp_path):
    settings = write_pair(tmp_path, random_events(4))
    whole = {user: prompt for (user, _), prompt in prompts(settings, None).items()}
    assert {user: prompt for (user, count), prompt in prompts(settings, [0.7, 1.0]).items() if count == FULL} == whole
    assert HELD_OUT + FULL == 10


def test_data_with_precomputed_windows_have_no_first_interactions(tmp_path):
    settings = write_pair(tmp_path, random_events(6))
    for number, name in enumerate(("train", "valid", "test")):
        for domain in ("source", "target"):
            rows = [f"u{user}\t{domain[0]}{number}\t{number}\t{domain[0]}{number}" for user in range(6)]
            header = "user_id:token\titem_id:token\ttimestamp:float\titem_id_list:token_seq"
            path = tmp_path / "pair" / domain / f"{domain}.{name}.inter"
            path.write_text("\n".join([header, *rows]) + "\n")
    changes = {
        "benchmark_filename": ["train", "valid", "test"], "MIN_ITEM_LIST_LENGTH": 1,
        "load_col": {"inter": ["user_id", "item_id", "timestamp", "item_id_list"]},
    }  # fmt: skip
    with pytest.raises(UserError, match="as_of counts the interactions of a user's sequence"):
        prompts(settings, [0.7], **changes)


# ------------------------------------------------------------------ every back end


def test_each_profile_says_how_many_events_it_knows(pair, server, capsys):
    status, printed, _ = run(capsys, *COMMAND, "--as_of", "0.7,1.0")
    assert status == 0 and "profiles: 12 of 12, in " in printed
    rows = lines(PROFILES)
    assert [(row["user_id"], row["events"]) for row in rows] == [(f"u{n}", k) for n in range(6) for k in (EARLY, FULL)]
    assert all(list(row) == ["user_id", "events", "profile", "source"] for row in rows)
    assert json.loads(Path("dataset/pair/profiles.jsonl.json").read_text())["as_of"] == [0.7, 1.0]
    requests = server.seen()["requests"]
    assert run(capsys, *COMMAND, "--as_of=0.7,1.0")[0] == 0 and lines(PROFILES) == rows
    assert run(capsys, *COMMAND, "--as_of=[1, 0.7]")[0] == 0 and server.seen()["requests"] == requests
    assert run(capsys, *COMMAND)[0] == 0 and server.seen()["requests"] == requests
    assert all(list(row) == ["user_id", "profile", "source"] for row in lines(PROFILES))


def test_shares_may_come_from_a_property_file(pair, server, capsys):
    Path("shares.yaml").write_text("as_of: [0.7, 0.75, 1.0]\n")
    assert run(capsys, "profile", "--config_files", "run.yaml", "shares.yaml", "--llm.model=m")[0] == 0
    assert len(lines(PROFILES)) == 18
    Path("shares.yaml").write_text("as_of: [0.7, 0.74]\n")
    assert run(capsys, "profile", "--config_files", "run.yaml", "shares.yaml", "--llm.model=m")[0] == 0
    assert [row["events"] for row in lines(PROFILES)] == [EARLY] * 6, "two shares of one number make one line"


def test_without_a_model_the_first_interactions_are_the_text(pair, capsys):
    assert run(capsys, "profile", "--config_files", "run.yaml", "--llm.backend=history", "--as_of", "0.7,1.0")[0] == 0
    rows = lines(PROFILES)
    assert len(rows) == 12
    assert all(len(row["profile"].split("\n")) == row["events"] for row in rows)
    assert all(full["profile"].startswith(early["profile"]) for early, full in zip(rows[::2], rows[1::2], strict=True))


def test_a_model_on_this_machine_writes_them(pair, capsys, tmp_path):
    tiny = write_tiny_causal(tmp_path / "tiny")
    arguments = ("--llm.backend=transformers", f"--llm.model={tiny}", "--llm.max_tokens=4", "--as_of", "0.7,1.0")
    settings = {**pair, "as_of": [0.7, 1.0], "llm": {"backend": "transformers", "model": str(tiny), "max_tokens": 2}}
    job = Profiler(load(settings))
    assert len(job.source.subjects) == 12 and job.preview().requests == 12
    status, printed, _ = run(capsys, "profile", "--config_files", "run.yaml", *arguments)
    assert "profiles: " in printed and "of 12" in printed
    found = lines("dataset/pair/profiles.failed.jsonl") + (lines(PROFILES) if status == 0 else [])
    assert {(row["user_id"], row["events"]) for row in found} == {(f"u{n}", k) for n in range(6) for k in (EARLY, FULL)}


@pytest.mark.parametrize("template", ["lecdsr", "hierarchical"])
def test_batch_requests_have_different_ids_and_their_results_find_their_profiles(pair, capsys, template):
    arguments = (*COMMAND, "--llm.backend=batch", f"--llm.prompt={template}", "--as_of", "0.7,1.0")
    results: list[str] = []
    for _ in range(2 if template == "hierarchical" else 1):
        assert run(capsys, *arguments, *(("--results", "results.jsonl") if results else ()))[0] == 0
        asked = lines("dataset/pair/batch-users/requests-001.jsonl")
        assert len({row["custom_id"] for row in asked}) == len(asked) >= 12
        for row in reversed(asked):
            content = f"likes {len(row['body']['messages'][1]['content'])} {row['custom_id']}"
            message = {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}
            response = {"status_code": 200, "body": message}
            results.append(json.dumps({"custom_id": row["custom_id"], "response": response}))
        Path("results.jsonl").write_text("\n".join(results) + "\n")
    status, printed, _ = run(capsys, *arguments, "--results", "results.jsonl")
    assert status == 0 and "profiles: 12 of 12" in printed
    rows = lines(PROFILES)
    assert len({row["profile"] for row in rows}) == 12 and [row["events"] for row in rows] == [EARLY, FULL] * 6


def test_profiles_without_an_answer_are_listed_with_user_and_events(pair):
    class HalfBackend(Backend):
        def count_tokens(self, text):
            return len(text)

        def run(self, requests, on_outcome):
            for number, request in enumerate(requests):
                on_outcome(request, Answer("likes tea" if number % 2 else ""))

    job = Profiler(load(pair, llm={"model": "m", "attempts": 1}, as_of=[0.7, 1.0]))
    job.backend = HalfBackend()
    summary = job.run().summary()
    assert summary["profiles"].startswith("6 of 12") and summary["without answer"].startswith("6 profiles (6 empty)")
    failed = lines("dataset/pair/profiles.failed.jsonl")
    assert [(row["user_id"], row["events"]) for row in failed] == [(f"u{n}", EARLY) for n in range(6)]
    assert list(failed[0])[:2] == ["user_id", "events"]
    assert [row["events"] for row in lines(PROFILES)] == [FULL] * 6


def test_a_dry_run_counts_profiles(pair, capsys):
    status, printed, _ = run(capsys, *COMMAND, "--as_of", "0.7,1.0", "--dry_run")
    assert status == 0 and "profiles: 12\n" in printed and "requests without an answer: 12" in printed
    assert not PROFILES.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--as_of", "0"], "as_of must be a list of shares above 0 and of at most 1"),
        (["--as_of", "0.7,1.2"], "as_of must be a list of shares above 0 and of at most 1, such as [0.7, 1.0]"),
        (["--as_of", "half"], "as_of must be a list of shares above 0"),
        (["--as_of", "0.7", "--of", "items"], "leave out --of items"),
        (["--profile_file=a.jsonl,b.jsonl"], "profile_file names 2 files, a.jsonl, b.jsonl, and `profile` writes one"),
    ],
    ids=str,
)
def test_shares_and_files_that_cannot_be_used_are_refused(pair, capsys, arguments, message):
    status, _, printed = run(capsys, *COMMAND, *arguments)
    assert status == 1 and message in printed
