"""Where market data comes from: files on disk, a venue's public API, or a seeded synthetic market.

Files and the synthetic market answer one question (``protocol.Source``), an exchange answers many in a session. All
give checked market values and never repaired, filled or invented ones; what cannot be read is a ``SourceError`` or the
market's own error, naming the file or the venue. Nothing here writes: the lake is the only store.
"""

from infra.sources.exchange import ExchangeOptions, ExchangeSource, FetchResult
from infra.sources.files import FileSource
from infra.sources.protocol import FetchRequest, Kind, MarketHistory, MarketValues, Source
from infra.sources.synthetic import SyntheticSource, synthetic_market, synthetic_symbols

__all__ = [
    "ExchangeOptions",
    "ExchangeSource",
    "FetchRequest",
    "FetchResult",
    "FileSource",
    "Kind",
    "MarketHistory",
    "MarketValues",
    "Source",
    "SyntheticSource",
    "synthetic_market",
    "synthetic_symbols",
]
