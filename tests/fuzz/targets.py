"""The readers that are fuzzed: valid files for each, how they are read, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from recbole_lecdsr.cli.recommend import _read_lines, parse_history
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.link_file import read_links
from recbole_lecdsr.data.candidates import CandidateSpec, stored_candidates
from recbole_lecdsr.data.embeddings.embedding_file import read_embedding, read_user_embedding, write_embedding
from recbole_lecdsr.data.embeddings.provenance import check_embedding_files, content_digest, read_provenance
from recbole_lecdsr.llm.backends.openai_batch import read_results
from recbole_lecdsr.llm.generation.answer_store import VALID, AnswerStore, Record, record_key
from recbole_lecdsr.llm.generation.prompt_template import read_template
from recbole_lecdsr.llm.profile_files import merge_profiles, read_profile_file
from recbole_lecdsr.llm.text_files import read_item_columns, read_json_lines
from recbole_lecdsr.prepare.raw_domain import RawDomain
from recbole_lecdsr.prepare.table import convert as convert_table
from recbole_lecdsr.prepare.table.options import TableOptions
from recbole_lecdsr.property_files import read_property_file
from recbole_lecdsr.tuning.search_space import read_search_space
from tests.fuzz.domain import read_domain, read_prepared
from tests.fuzz.runner import Target
from tests.fuzz.stored_runs import STORED_RUNS
from tests.helpers import amazon_files, c2dsr_files, tables
from tests.helpers.pairs import random_events, write_pair

TEA = "绿茶"


def _write(files: dict[str, str | bytes]) -> list[str]:
    for name, content in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(files)


def _file(name: str, content: str | bytes) -> Callable[[], list[str]]:
    return lambda: _write({name: content})


# ------------------------------------------------------------------ atomic files

_INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + "".join(
    f"u{row % 3}\t{'ab' if row % 2 else TEA}{row}\t{row % 5}.5\t{1e9 + 3600 * row}\n" for row in range(8)
)
_WINDOWS = "user_id:token\titem_id_list:token_seq\titem_id:token\ttimestamp:float\n" + "".join(
    f"u{row}\t{' '.join(f'i{item}' for item in range(row))}\ti{row}\t{row}\n" for row in range(5)
)
_DOMAIN = {
    "book.inter": _INTER,
    "book.item": f"item_id:token\ttitle:token\tprice:float\ttags:token_seq\n{TEA}0\tA B\t1.5\tx y\nab1\t\t\t\n"
    "ab3\tC\t2\tz\n",
    "book.user": "user_id:token\tage:float\tvector:float_seq\nu0\t7\t1 2\nu1\t\t\nu2\t8.5\t3\n",
}


def _domain_in_gbk() -> list[str]:
    changed = {name: text.replace(" ", ",").replace("\t", ";").encode("gbk") for name, text in _DOMAIN.items()}
    return _write(dict(changed))


def _embedding_file(name: str) -> Callable[[], list[str]]:
    kind = name.rpartition(".")[2].removesuffix("emb")

    def make() -> list[str]:
        matrix = np.random.default_rng(0).normal(size=(6, 4)) ** 5
        write_embedding(name, f"{kind}_id", f"{kind}_emb", tokens=[f"{TEA}{row}" for row in range(6)], matrix=matrix)
        return [name]

    return make


def _read_vectors(name: str) -> object:
    kind = name.rpartition(".")[2].removesuffix("emb")
    embedding = read_embedding(name) if kind == "item" else read_user_embedding(name)
    matrix = np.array(embedding.matrix)
    with np.errstate(over="raise", invalid="raise"):
        np.einsum("nd,nd->n", matrix, matrix)  # a norm, as models compute it
    events = None if embedding.events is None else embedding.events.tolist()
    return embedding.tokens.tolist(), events, matrix.tolist()


def _profiles() -> list[str]:
    numbers = np.random.default_rng(0).normal(size=(6, 3)) ** 5
    rows = [
        f"{TEA}{row // 2}\t{row}\t{one!r}\t{two!r} {three!r}\n"
        for row, (one, two, three) in enumerate(numbers.tolist())
    ]
    return _write({"book.useremb": "user_id:token\tevents:float\ta:float_seq\tb:float_seq\n" + "".join(rows)})


def _cached_embedding() -> list[str]:
    _embedding_file("book.itememb")()
    read_embedding("book.itememb")
    return ["book.itememb.cache"]


def _cached_profiles() -> list[str]:
    _profiles()
    read_user_embedding("book.useremb")
    return ["book.useremb.cache"]


def _described_embedding() -> list[str]:
    _embedding_file("book.useremb")()
    text = '{"encoder": "all-MiniLM-L6-v2", "rows": 6, "size": 4, "sha256": "' + content_digest(Path("book.useremb"))
    _write({"book.useremb.json": text + '"}'})
    return ["book.useremb"]


def _read_described() -> object:
    check_embedding_files([], Path("book.useremb"))
    return _read_vectors("book.useremb")


# ------------------------------------------------------------------ settings and texts

_PROPERTIES = (
    "seed: 7\nlearning_rate: 1e-3\ntrain_epochs: ['BOTH:2']\nload_col:\n  inter: [user_id, item_id, timestamp]\n"
    "eval_args: {mode: uni99, split: {LS: valid_and_test}}\nuser_inter_num_interval: '[2,inf)'\nclip_grad_norm: null\n"
    "topk: [5, 10]\n"
)
_PROMPT = (
    "system: You are\nstages:\n- {name: one, prompt: 'Domain ${domain}: ${history}', each: domain, format: json, "
    "fields: [a, b]}\n- name: two\n  prompt: |\n    ${answers} of ${domains}: ${fields}\n  max_words: 90\n"
    "  format: json\n  fields: ['${domain}', both]\n"
)
_SPACE = (
    "learning_rate: {type: float, low: 1e-4, high: 0.1, log: true}\nlayers: {type: int, low: 1, high: 4, step: 1}\n"
    "train_neg_sample_args.sample_num: {type: categorical, choices: [1, 5, null, text, [a, b]]}\n"
)
_ITEMS = f'{{"item_id": "i1", "title": "{TEA}", "year": 1979}}\n\n{{"item_id": 7, "title": null, "x": [1, {{}}]}}\n'
_PROFILES = (
    f'{{"user_id": "u1", "profile": "likes {TEA}"}}\r\n{{"user_id": "u2", "profile": "\\u00e9\\ud83d\\ude00"}}\n'
)
_FACETS = "".join(
    f'{{"user_id": "u{user}", "events": {events}, "books": "{TEA}", "next_films": ["satire", "Emma"], "n": 3}}\n'
    for user in (1, 2) for events in (4, 9)
)  # fmt: skip


def _configured_pair() -> list[str]:
    settings = write_pair(Path(), random_events(4), name="pair")
    _write({"run.yaml": _PROPERTIES + f"dataset: {settings['dataset']}\ndata_path: .\n"})
    return ["run.yaml"]


def _configure() -> object:
    domains = {"source_domain": {"dataset": "source"}, "target_domain": {"dataset": "target"}, "use_gpu": False}
    config = LeCDSRConfig("LeCDSR", config_file_list=["run.yaml"], config_dict=domains, command_line=[])
    return repr(config.final_config_dict)


def _profile_texts() -> object:
    profiles = merge_profiles([read_profile_file(Path("profiles.jsonl"), "user_id")])
    texts = profiles.texts(profiles.default_fields())
    return [text.encode() for line in texts for text in line.values()], profiles.newest_texts()


def _template() -> object:
    template = read_template("prompt.yaml", "users", ["books", "films"])
    values = dict.fromkeys(("history", "domain", "domains", "answers"), "tea")
    return [template.render(stage, values) for stage in template.stages]


# ------------------------------------------------------------------ the program's own stores


def _answers() -> list[str]:
    with AnswerStore("answers.jsonl") as store:
        for number in range(4):
            status = "too long" if number == 2 else VALID
            store.append(Record(key=record_key(n=number), status=status, answer=f"{TEA} {number}", tokens_in=number))
    return ["answers.jsonl"]


def _read_answers() -> object:
    with AnswerStore("answers.jsonl") as store:
        keys = [record_key(n=number) for number in range(4)]
        return [(store.get(key), store.failures(key)) for key in keys]


def _candidates() -> object:
    draw = lambda: np.arange(40, dtype=np.int32).reshape(8, 5)  # noqa: E731
    spec = CandidateSpec("uni5", repeatable=False, seed=1)
    return np.array(stored_candidates(Path(), "test", spec=spec, digest="d" * 16, draw=draw).items).tolist()


def _make_candidates() -> list[str]:
    _candidates()
    return ["test-uni5-1-dddddddddddddddd.npy"]


_BATCH = "".join(
    f'{{"id": "r{n}", "custom_id": "k{n}", "response": {{"status_code": 200, "body": {{"choices": [{{"message": '
    f'{{"content": "tea"}}, "finish_reason": "stop"}}], "usage": {{"prompt_tokens": 1}}}}}}, "error": null}}\n'
    for n in range(3)
)


# ------------------------------------------------------------------ prepare


def _table(name: str, text: str, skip_bad_lines: bool = False) -> Target:
    def make() -> list[str]:
        return _write({name: text if not name.endswith(".gz") else amazon_files.gzip.compress(text.encode())})

    def read() -> object:
        tables.prepare(name, text=["title"], skip_bad_lines=skip_bad_lines)
        return read_prepared()

    return Target(f"table {name}{', bad lines skipped' if skip_bad_lines else ''}", make, read, weight=1)


_TABLE = "".join(
    f"{line},{'title' if not row else 'A, b'!r}\n".replace("'", '"')
    for row, line in enumerate(tables.TABLE.splitlines())
)


def _parquet() -> list[str]:
    header, *rows = (line.split(",") for line in tables.TABLE.splitlines())
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    columns["timestamp"] = list(map(int, columns["timestamp"]))
    content = pa.table({name: list(values) for name, values in columns.items()})
    pa.parquet.write_table(content, "events.parquet")
    return ["events.parquet"]


def _read_parquet() -> object:
    tables.prepare("events.parquet")
    return read_prepared()


def _items_of_table() -> list[str]:
    _write({"events.csv": tables.TABLE})
    return _write({"items.tsv": tables.ITEMS})


def _read_items_of_table() -> object:
    tables.prepare(items="items.tsv")
    return read_prepared()


_FOOD = "userId,asin,stars,date\n" + "".join(f"u{n},f{n},{n}.5,2024-03-0{n}T09:30:00Z\n" for n in range(1, 6))
_HOME = "uid;item;stars;time\n" + "".join(f"u{n};h{n};{n};2024-03-0{n}\n" for n in range(1, 6))


def _two_tables() -> list[str]:
    return _write({"food.csv": _FOOD, "home.csv": _HOME, "titles.csv": 'id,title\nf1,"A, b"\nh2,\n'})


def _read_two_tables() -> object:
    source, target = (RawDomain(name, (Path(f"{name}.csv"),)) for name in ("food", "home"))
    options = TableOptions(rating="stars")
    convert_table.prepare_domains(source, target, "out", "pair", items={None: ["titles.csv"]}, options=options)
    return read_prepared()


def _amazon(edition: str, suffix: str, skip_bad_lines: bool = False) -> Target:
    def make() -> list[str]:
        amazon_files.write_reviews(edition, suffix)
        meta = getattr(amazon_files, f"META_{edition}")
        amazon_files.write(f"meta{suffix}", meta)
        return [f"food{suffix}", f"meta{suffix}"]

    def read() -> object:
        amazon_files.prepare(
            f"food{suffix}", f"kitchen{suffix}", edition, metadata=[Path(f"meta{suffix}")],
            skip_bad_lines=skip_bad_lines, show_progress=False,
        )  # fmt: skip
        return read_prepared()

    skipped = ", bad lines skipped" if skip_bad_lines else ""
    return Target(f"amazon {edition} {suffix}{skipped}", make, read, names_file=False, weight=1)


def _amazon_ratings() -> list[str]:
    amazon_files.write("kitchen.csv", amazon_files.ratings_2018(amazon_files.KITCHEN))
    amazon_files.write("food.csv", amazon_files.ratings_2018(amazon_files.FOOD))
    return ["food.csv"]


def _read_amazon_ratings() -> object:
    amazon_files.prepare("food.csv", "kitchen.csv", "2018", show_progress=False)
    return read_prepared()


def _c2dsr_folder() -> list[str]:
    c2dsr_files.write_folder(Path("raw"))
    c2dsr_files.write_matrices(Path("raw"))
    return [
        *(f"raw/{name}" for name in c2dsr_files.FILES),
        "raw/item_embeddings.npy",
        "raw/reasoning_user_embeddings.npy",
    ]


def _read_c2dsr(skip_bad_lines: bool = False) -> object:
    c2dsr_files.prepare(Path("raw"), skip_bad_lines=skip_bad_lines)
    return read_prepared("dataset/pair", parts=("train", "valid", "test"))


# ------------------------------------------------------------------ all of them

TARGETS: tuple[Target, ...] = (
    Target("inter", _file("book.inter", _INTER), read_domain),
    Target("item and user", lambda: _write(_DOMAIN)[1:], lambda: read_domain(("item", "user"))),
    Target("domain in gbk", _domain_in_gbk, lambda: read_domain(("item", "user"), ";", ",", "gbk")),
    Target(
        "windows", lambda: _write({f"book.{part}.inter": _WINDOWS for part in ("train", "valid", "test")}),
        lambda: read_domain(parts=("train", "valid", "test")),
    ),
    Target(
        "atomic file", _file("book.inter", _INTER),
        lambda: atomic_file.read("book.inter", {"user_id": "token", "rating": "float"}).to_dict("list"),
    ),
    Target("itememb", _embedding_file("book.itememb"), lambda: _read_vectors("book.itememb")),
    Target("useremb", _embedding_file("book.useremb"), lambda: _read_vectors("book.useremb")),
    Target("useremb with events", _profiles, lambda: _read_vectors("book.useremb")),
    Target("itememb cache", _cached_embedding, lambda: _read_vectors("book.itememb"), stored=True),
    Target("useremb cache", _cached_profiles, lambda: _read_vectors("book.useremb"), stored=True),
    Target("useremb with sidecar", _described_embedding, _read_described, stored=True),
    Target(
        "sidecar", _file("profiles.jsonl.json", '{"made_by": "profile", "split": {"LS": "x"}, "list": [1.5, null]}'),
        lambda: repr(read_provenance(Path("profiles.jsonl"))),
    ),
    Target(
        "link", _file("pair.link", f"one_id:token\tuser_id:token\nu1\t{TEA}\nu2\tb\nu3\tb\n"),
        lambda: read_links("pair.link", "one_id", "user_id"),
    ),
    Target("item columns", _file("book.item", _DOMAIN["book.item"]), lambda: read_item_columns("book.item")),
    Target("items.jsonl", _file("items.jsonl", _ITEMS), lambda: read_json_lines("items.jsonl", "item_id")),
    Target("profiles.jsonl", _file("profiles.jsonl", _PROFILES), _profile_texts),
    Target("facets.jsonl", _file("profiles.jsonl", _FACETS), _profile_texts),
    Target("property file", _file("run.yaml", _PROPERTIES), lambda: repr(read_property_file("run.yaml"))),
    Target("configuration", _configured_pair, _configure, names_file=False, weight=1),
    Target("prompt", _file("prompt.yaml", _PROMPT), _template),
    Target("search space", _file("space.yaml", _SPACE), lambda: repr(read_search_space("space.yaml"))),
    Target("users", _file("users.txt", f"u1\nu2\r\n\n{TEA}\n"), lambda: _read_lines(Path("users.txt"))),
    Target(
        "history", _file("history.txt", f"books:{TEA}, The\nfilms:Emma\n"),
        lambda: parse_history(_read_lines(Path("history.txt")), ["books", "films"]), names_file=False,
    ),
    Target("answer store", _answers, _read_answers),
    Target("batch results", _file("results.jsonl", _BATCH), lambda: repr(read_results(["results.jsonl"]))),
    Target("candidates", _make_candidates, _candidates, stored=True),
    *STORED_RUNS,
    _table("events.csv", _TABLE),
    _table("events.csv", _TABLE, skip_bad_lines=True),
    _table("events.csv.gz", _TABLE),
    _table("events.tsv", tables.TABLE.replace(",", "\t").replace("\n", "\ttitle\n")),
    Target("two tables", _two_tables, _read_two_tables, weight=1),
    Target("table parquet", _parquet, _read_parquet, weight=1),
    Target("table of items", _items_of_table, _read_items_of_table, weight=1),
    _amazon("2014", ".json"),
    _amazon("2018", ".json.gz"),
    _amazon("2018", ".json", skip_bad_lines=True),
    _amazon("2023", ".json"),
    Target("amazon ratings", _amazon_ratings, _read_amazon_ratings, names_file=False, weight=1),
    Target("c2dsr", _c2dsr_folder, _read_c2dsr, names_file=False, weight=1),
    Target("c2dsr, bad lines skipped", _c2dsr_folder, lambda: _read_c2dsr(True), names_file=False, weight=1),
)  # fmt: skip
