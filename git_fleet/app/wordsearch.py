"""How well texts match words, by SQLite's full-text search in memory (BM25, words without their endings).

Weighed: a BM25 of our own (no endings), rank-bm25 and bm25s (both bring NumPy). Where Python's SQLite lacks FTS5,
the share of the words that a text has stands in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_WORD = re.compile(r"\w+")
_MOST_WORDS = 50


def worth(query: str, texts: Mapping[str, str]) -> dict[str, float]:
    """The worth of each text that has any of the query's words, by its key: from above 0 to 1, which the best has."""
    words = list(dict.fromkeys(_WORD.findall(query.casefold())))[:_MOST_WORDS]
    if not words or not texts:
        return {}
    found = _by_fts(words, texts)
    if found is None:
        found = _by_share(words, texts)
    best = max(found.values(), default=0.0)
    return {key: score / best for key, score in found.items() if score > 0}


def _by_fts(words: list[str], texts: Mapping[str, str]) -> dict[str, float] | None:
    """None where there is no FTS5."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(":memory:")) as database:
        try:
            database.execute("CREATE VIRTUAL TABLE t USING fts5(body, tokenize = 'porter unicode61')")
        except sqlite3.OperationalError:
            return None
        keys = list(texts)
        database.executemany("INSERT INTO t(rowid, body) VALUES (?, ?)", enumerate(texts.values()))
        asked = " OR ".join(f'"{word}"' for word in words)
        rows = database.execute("SELECT rowid, bm25(t) FROM t WHERE t MATCH ?", (asked,))
        # bm25() is the smaller the better, and about 0 for a word that most texts have.
        return {keys[row]: max(-score, 1e-6) for row, score in rows}


def _by_share(words: list[str], texts: Mapping[str, str]) -> dict[str, float]:
    said = {key: set(_WORD.findall(text.casefold())) for key, text in texts.items()}
    return {key: len(each.intersection(words)) / len(words) for key, each in said.items()}
