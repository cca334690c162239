"""Tables as a stranger has them: one for each domain, 300 users, unicode, ISO times, ratings, titles apart."""

from __future__ import annotations

import numpy as np
import pandas as pd

TITLES = {
    "food": ["Grüner Tee", 'Müsli "Natur", 500 g', "抹茶", "Café crème", "Мёд", "Oat milk", "Rye bread", "Sea salt"],
    "kitchen": ["Teekanne, weiß", "Wok 30 cm", "包丁", "Cafetière", "Toaster", "Whisk", "Cutting board", "Scale"],
}


def make_interactions(n_users: int = 300) -> dict[str, pd.DataFrame]:
    """Domain -> interactions with the columns userId, productId, stars and date; users of both domains but the last."""
    rng = np.random.default_rng(0)
    rows: dict[str, list[tuple[str, str, float, str]]] = {"food": [], "kitchen": []}
    for user in range(n_users):
        day = np.datetime64("2023-01-01") + rng.integers(0, 200)
        for step in range(8):
            domain = "food" if step % 2 == user % 2 or user == n_users - 1 else "kitchen"
            day += rng.integers(1, 9)
            item = f"{domain[0].upper()}{rng.integers(len(TITLES[domain]))}"
            time = f"{day}T{rng.integers(8, 20):02}:15:00+01:00"
            rows[domain].append((f"Käufer {user:03}", item, float(rng.integers(1, 11)) / 2, time))
    columns = ["userId", "productId", "stars", "date"]
    return {domain: pd.DataFrame(part, columns=columns) for domain, part in rows.items()}


def make_items() -> dict[str, pd.DataFrame]:
    """Domain -> items with the columns sku, title and brand, one of which nobody bought."""
    return {
        domain: pd.DataFrame({
            "sku": [f"{domain[0].upper()}{n}" for n in range(len(titles))] + [f"{domain[0].upper()}-new"],
            "title": [*titles, "New"],
            "brand": ["Acme", *[None] * len(titles)],
        })
        for domain, titles in TITLES.items()
    }  # fmt: skip


def write_shop() -> None:
    """The tables in the current folder, as CSV of a spreadsheet: with BOM and CRLF."""
    for domain, frame in make_interactions().items():
        frame.to_csv(f"{domain}.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    for domain, frame in make_items().items():
        frame.to_csv(f"{domain}_items.csv", index=False)
