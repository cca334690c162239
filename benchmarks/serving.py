"""How many histories a second an export answers: tokens in, a data frame of the top 10 of one domain out.

Items, histories (24 interactions on average, of which the network reads the latest 15) and weights are random, of the
size of amazon-food-kitchen and of the default network. The time goes into reading tokens and times, the network
(`query`), the index (`search`) and the data frame.

    python benchmarks/serving.py [--histories 7000] [--repeats 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import synthetic
import torch

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.event_log import EventLog, latest_interactions
from recbole_lecdsr.recommend import index
from recbole_lecdsr.recommend.exported import (
    ExportedRecommender,
    ExportedVocabulary,
    ServingConfig,
    ServingData,
    make_network,
)
from recbole_lecdsr.recommend.histories import Histories, Interaction, TimeScale, parse_histories


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=7000, help="answered in one call")
    parser.add_argument("--repeats", type=int, default=5, help="calls, of which the median counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--llm_size", type=int, default=1024, help="D of the items' texts")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    synthetic_data = synthetic.RandomDataset(**synthetic.FOOD_KITCHEN, llm_size=options.llm_size, min_history=1)
    histories = make_histories(synthetic_data.log, options.histories)
    recommenders = make_recommenders(synthetic_data)
    figures = {name: measure(recommender, histories, options.repeats) for name, recommender in recommenders.items()}
    top = {name: one.recommend(histories=histories, k=10, domain="target") for name, one in recommenders.items()}
    items = [found["item"].to_numpy().reshape(-1, 10) for found in top.values()]
    synthetic.report(
        "cpu",
        benchmark="answering histories",
        items=synthetic_data.num_total_item - 1,
        items_of_the_domain=len(synthetic_data.domain_items[1]),
        histories=len(histories),
        interactions_per_history=round(sum(map(len, histories)) / len(histories), 1),
        **figures,
        recall_of_approximate=round(index.recall(items[1], items[0]), 4),
    )


def make_histories(log: EventLog, number: int) -> list[list[Interaction]]:
    """The interactions of the first users of a log: domain, token, time."""
    last = latest_interactions(log, int(log.user[-1]) + 1)[1:][:number]
    return [
        [(DOMAINS[log.domain[row]], str(log.item[row]), float(log.time[row])) for row in range(log.first[end], end + 1)]
        for end in last
    ]


def make_recommenders(data: synthetic.RandomDataset) -> dict[str, ExportedRecommender]:
    """What `Recommender.from_export` returns of an export with random weights, with either index."""
    values = synthetic.settings("LeCDSR", "cpu", score_fusion=False, ema_decay=0, init_from_text=False)
    names = {f"{domain}_domain": {**values[f"{domain}_domain"], "dataset": domain} for domain in DOMAINS}
    config = ServingConfig({**values, **names, "model": "LeCDSR"})
    served = ServingData(config, data.domain_items, data.item_embedding(), data.llm_size, as_of=False)
    torch.manual_seed(0)
    model = make_network(config, served).eval()
    rows = [
        {"domain": name, "item": str(item), "id": item}
        for name, items in zip(DOMAINS, data.domain_items, strict=True)
        for item in items.tolist()
    ]
    matrices = [model.item_vectors()[items].detach().numpy() for items in data.domain_items]
    return {
        name: ExportedRecommender(
            dict.fromkeys(DOMAINS, model),
            served,
            vocabulary=ExportedVocabulary(list(DOMAINS), rows, data.num_total_item),
            scale=TimeScale.of(data.log),
            matrices=matrices,
            indexes=list(map(build, matrices)),
        )
        for name, build in (("exact", index.build_exact), ("approximate", index.build_approximate))
    }


def measure(recommender: ExportedRecommender, histories: list[list[Interaction]], repeats: int) -> dict[str, float]:
    """Histories answered in a second and in a second of the processors, and the time of the parts for 1,000 histories.

    Beside other jobs the latter says more: it is what one thread answers in a second on a processor of its own.
    """
    parsed = parse_histories(histories, recommender.vocabulary)
    queries = make_queries(recommender, parsed)
    parts: dict[str, Callable[[], object]] = {
        "whole": lambda: recommender.recommend(histories=histories, k=10, domain="target"),
        "read": lambda: parse_histories(histories, recommender.vocabulary),
        "query": lambda: make_queries(recommender, parsed),
        "search": lambda: index.search(recommender.indexes[1], queries, 30),
    }
    measured = {name: median_seconds(part, repeats) for name, part in parts.items()}
    cpu = {f"{name}_cpu_ms_per_1000": round(1e6 * each[1] / len(histories), 1) for name, each in measured.items()}
    wall, processor = measured["whole"]
    return {
        "histories_per_second": round(len(histories) / wall),
        "histories_per_cpu_second": round(len(histories) / processor),
        **cpu,
    }


def make_queries(recommender: ExportedRecommender, histories: Histories) -> np.ndarray:
    """Queries for the target domain, (H, d) float32."""
    return np.concatenate(
        [
            recommender.queries(recommender.collate(requests, 1), 1).numpy()
            for requests in recommender.requests_of_ids(histories)
        ]
    )


def median_seconds(part: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median time of a call and of its processors, after one call that is not counted."""
    part()
    wall, processor = [], []
    for _ in range(repeats):
        started, used = time.perf_counter(), time.process_time()
        part()
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return statistics.median(wall), statistics.median(processor)


if __name__ == "__main__":
    main()
