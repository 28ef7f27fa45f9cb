"""Market files: every layout but the archives', every time spelling, and a clear no for everything else."""

import zipfile
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from infra.errors import SourceError
from infra.sources import FetchRequest, FileSource, Kind
from market.errors import CandleError, FundingError, MarketError
from market.timeframe import HOUR_MS, Timeframe
from tests.infra.lake_data import FIVE, JANUARY_31, same, walk
from tests.real_data import real_data_dir

NAMES = ("open", "high", "low", "close", "volume")


def table(bars, times=None, name="timestamp"):
    """An Arrow table of candles with the time column as given."""
    stamps = pa.array(bars.open_time).cast(pa.timestamp("ms")) if times is None else times
    return pa.table({name: stamps, **{column: getattr(bars, column) for column in NAMES}})


def plain(folder, bars, **kwargs):
    """One plain Parquet file, and its source."""
    pq.write_table(table(bars, **kwargs), folder / "BTCUSDT.parquet")
    return FileSource(folder)


def csv(folder, text):
    """One plain CSV file, and its source."""
    (folder / "BTCUSDT.csv").write_text(text)
    return FileSource(folder)


def csv_text(bars, times=None, header="timestamp,open,high,low,close,volume"):
    """CSV of candles."""
    stamps = bars.open_time.tolist() if times is None else times
    lines = [
        ",".join([str(stamp), *(repr(float(getattr(bars, name)[i])) for name in NAMES)])
        for i, stamp in enumerate(stamps)
    ]
    return "\n".join([header, *lines]) + "\n"


def test_the_layout_by_kind_is_read(tmp_path):
    """Each kind of one folder; mark candles longer than an hour, which measure too seldom, and notes are left alone."""
    for folder in ("candles_5m", "funding", "open_interest_5m", "mark_1h", "mark_8h"):
        (tmp_path / folder).mkdir()
    bars = walk(50)
    pq.write_table(table(bars), tmp_path / "candles_5m" / "BTCUSDT.parquet")
    hours = pa.array(JANUARY_31 + np.arange(3) * HOUR_MS).cast(pa.timestamp("ms"))
    for folder, price in (("mark_1h", 100.0), ("mark_8h", 800.0)):
        marks = pa.table({"timestamp": hours, "open": [1.0] * 3, "close": [price, price + 1, price + 2]})
        pq.write_table(marks, tmp_path / folder / "BTCUSDT.parquet")
    times = pa.array([JANUARY_31, JANUARY_31 + 13, JANUARY_31 + 13]).cast(pa.timestamp("ms"))
    rates = pa.table({"timestamp": times[:2], "funding_rate": [1e-4, -1e-4]})
    pq.write_table(rates, tmp_path / "funding" / "BTCUSDT.parquet")
    held = pa.table({"timestamp": times, "open_interest": [0.0, 2.0, 3.0]})
    pq.write_table(held, tmp_path / "open_interest_5m" / "BTCUSDT.parquet")
    (tmp_path / "README.md").write_text("notes")
    source = FileSource(tmp_path)
    assert (source.symbols(FIVE), source.timeframes("BTCUSDT")) == (("BTCUSDT",), (FIVE,))
    history = source.history("BTC/USDT:USDT")
    assert same(history.candles, bars)
    assert history.funding is not None
    assert history.funding.rate.tolist() == [1e-4, -1e-4]
    assert history.open_interest is not None
    assert history.open_interest.time.tolist() == [JANUARY_31, JANUARY_31 + 13]
    assert history.open_interest.value.tolist() == [0.0, 3.0]
    assert history.mark is not None
    assert (history.mark.time - JANUARY_31).tolist() == [HOUR_MS, 2 * HOUR_MS, 3 * HOUR_MS], "named by the close"
    assert history.mark.price.tolist() == [100.0, 101.0, 102.0]
    assert history.taker is None


@pytest.mark.parametrize("below", ["", "futures"])
def test_the_freqtrade_layout_is_read(tmp_path, below):
    """Zone-aware feather files, funding in the column ``open``, in the folder or in its ``futures`` folder."""
    folder = tmp_path / below
    folder.mkdir(exist_ok=True)
    bars = walk(50)
    aware = pa.array(bars.open_time).cast(pa.timestamp("ms", tz="UTC"))
    feather.write_feather(table(bars, times=aware, name="date"), folder / "BTC_USDT_USDT-5m-futures.feather")
    feather.write_feather(table(bars, times=aware, name="date"), folder / "BTC_USDT_USDT-8h-mark.feather")
    feather.write_feather(table(bars, times=aware, name="date"), folder / "BTC_USDT_USDT-5m-mark.feather")
    hours = pa.array(JANUARY_31 + np.arange(3) * 8 * 3_600_000).cast(pa.timestamp("ms", tz="UTC"))
    funding = pa.table({"date": hours, "open": [1e-4, 2e-4, 3e-4], "close": [0.0, 0.0, 0.0]})
    feather.write_feather(funding, folder / "BTC_USDT_USDT-8h-funding_rate.feather")
    source = FileSource(tmp_path)
    assert source.symbols(FIVE) == ("BTCUSDT",)
    assert same(source.candles("BTCUSDT"), bars)
    stamps = source.funding("BTCUSDT")
    assert stamps is not None
    assert stamps.rate.tolist() == [1e-4, 2e-4, 3e-4]
    marks = source.mark("BTCUSDT")
    assert marks.time.tolist() == [JANUARY_31 + hours * HOUR_MS for hours in (1, 2, 3, 4)], (
        "shorter bars close there too"
    )
    assert marks.price.tolist() == bars.close[11::12].tolist()


def test_spot_and_futures_of_one_symbol_in_one_place_are_refused(tmp_path):
    """Which of the two is meant cannot be guessed."""
    (tmp_path / "futures").mkdir()
    feather.write_feather(table(walk(50)), tmp_path / "BTC_USDT-5m.feather")
    feather.write_feather(table(walk(50)), tmp_path / "futures" / "BTC_USDT_USDT-5m-futures.feather")
    with pytest.raises(SourceError, match=r"both hold BTCUSDT candles.*point at the folder"):
        FileSource(tmp_path)


MS = pa.array(walk(50).open_time)
TIMES = {
    "naive us": MS.cast(pa.timestamp("ms")).cast(pa.timestamp("us")),
    "zone": MS.cast(pa.timestamp("ms", tz="UTC")).cast(pa.timestamp("ns", tz="Europe/Berlin")),
    "s": pa.array(walk(50).open_time // 1000),
    "ms": MS,
    "us": pa.array(walk(50).open_time * 1000),
    "ns": pa.array(walk(50).open_time * 1_000_000),
    "float ms": pa.array(walk(50).open_time.astype(float)),
    "text Z": pa.array([f"{np.datetime64(int(t), 'ms')}Z" for t in walk(50).open_time]),
    "text": pa.array([str(np.datetime64(int(t), "ms")).replace("T", " ") for t in walk(50).open_time]),
}


@pytest.mark.parametrize("spelling", TIMES)
def test_every_clear_spelling_of_time_means_the_same(tmp_path, spelling):
    """Zone-aware, naive, text, and integers of four units all read as the same bars."""
    assert same(plain(tmp_path, walk(50), times=TIMES[spelling]).candles("BTCUSDT"), walk(50))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_files_are_read(tmp_path, separator):
    """Milliseconds or ISO text, three separators, upper-case headers, columns we do not need."""
    header = "Timestamp,Open,High,Low,Close,Volume"
    text = csv_text(walk(50), [f"{np.datetime64(int(t), 'ms')}+00:00" for t in walk(50).open_time], header)
    assert same(csv(tmp_path, text.replace(",", separator)).candles("BTCUSDT"), walk(50))


@pytest.mark.parametrize(
    "times",
    [
        pa.array(np.arange(50) * 300_000),
        pa.array(np.linspace(1e9, 1e13, 50).astype(np.int64)),
        pa.array(["01/02/2025 00:00"] * 50),
        pa.array(walk(50).open_time / 1000 + 0.5),
        pa.array([True] * 50),
        pa.array(walk(50).open_time).cast(pa.timestamp("s")),
    ],
)
def test_times_that_could_mean_several_moments_are_refused(tmp_path, times):
    """Small numbers, mixed sizes, day-or-month text, fractions, other types, seconds that were milliseconds."""
    with pytest.raises(SourceError, match=r"BTCUSDT.parquet: column timestamp .*(ambiguous|as a time)"):
        plain(tmp_path, walk(50), times=times).candles("BTCUSDT")


def broken(change):
    """Fifty bars with one thing wrong."""
    bars = walk(50)
    change(bars)
    return bars


def _swap(bars):
    bars.open_time[[3, 4]] = bars.open_time[[4, 3]]


def _double(bars):
    bars.open_time[4] = bars.open_time[3]


def _crossed(bars):
    bars.high[7], bars.low[7] = bars.low[7], bars.high[7]


def _negative(bars):
    bars.low[5] = -1.0


def _absent(bars):
    bars.close[5] = np.nan


def _off_grid(bars):
    bars.open_time[9:] += 60_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_swap, "bars out of order at row 3"),
        (_double, "a duplicate bar at row 3"),
        (_crossed, "high below low at row 7"),
        (_negative, "a price that is zero or negative at row 5"),
        (_absent, "a missing or infinite value at row 5"),
        (_off_grid, "mixed timeframes"),
    ],
)
def test_bars_that_break_a_rule_are_refused_with_file_and_row(tmp_path, change, message):
    """One line naming the file, the row, the reason and what to do."""
    with pytest.raises(CandleError, match=f"BTCUSDT.parquet: .*{message}.*What to do") as refusal:
        plain(tmp_path, broken(change)).candles("BTCUSDT", FIVE)
    assert "\n" not in str(refusal.value)


def test_a_stretch_of_longer_bars_is_refused(tmp_path):
    """Fifty 5m bars followed by hourly ones pass every single-bar rule, and are still two histories."""
    bars = walk(80)
    bars.open_time[50:] = bars.open_time[49] + 3_600_000 * np.arange(1, 31)
    with pytest.raises(CandleError, match=r"mixed timeframes: from row 49 .* bars are 60 minutes apart, not 5"):
        plain(tmp_path, bars).candles("BTCUSDT")


def test_asking_for_another_timeframe_than_the_file_holds_is_refused(tmp_path):
    """Hourly bars lie on the 5m grid, but they are not 5m bars; and a folder of 5m files holds no 1m."""
    bars = walk(50)
    bars.open_time[:] = JANUARY_31 + 3_600_000 * np.arange(50)
    with pytest.raises(CandleError, match="60 minutes apart, not 5"):
        plain(tmp_path, bars).candles("BTCUSDT", FIVE)
    assert FileSource(tmp_path).candles("BTCUSDT").timeframe.name == "1h"
    (tmp_path / "kinds" / "candles_5m").mkdir(parents=True)
    pq.write_table(table(walk(50)), tmp_path / "kinds" / "candles_5m" / "BTCUSDT.parquet")
    with pytest.raises(SourceError, match=r"candles of 5m, none of 1m.*ask for 5m"):
        FileSource(tmp_path / "kinds").candles("BTCUSDT", Timeframe.parse("1m"))


def by_kind(folder, bars, name):
    """One Parquet file in a folder of its timeframe."""
    (folder / name).mkdir(exist_ok=True)
    pq.write_table(table(bars), folder / name / "BTCUSDT.parquet")


@pytest.mark.parametrize("name", ["BTCUSDT.csv", "BTCUSDT.zip"])
def test_one_file_is_a_source(tmp_path, name):
    """Its name says the market; other files beside it are left alone."""
    text = csv_text(walk(50))
    if name.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as pack:
            pack.writestr("BTCUSDT.csv", text)
    else:
        (tmp_path / name).write_text(text)
    (tmp_path / "ETHUSDT.csv").write_text(csv_text(walk(50)))
    source = FileSource(tmp_path / name)
    assert (source.name, source.symbols()) == (f"files:{name}", ("BTCUSDT",))
    assert same(source.candles("BTCUSDT", FIVE), walk(50))


def test_one_file_of_a_folder_by_kind_is_a_source(tmp_path):
    """The folder tells its timeframe; a name that tells no market is refused."""
    by_kind(tmp_path, walk(50), "candles_5m")
    assert FileSource(tmp_path / "candles_5m" / "BTCUSDT.parquet").timeframes("BTCUSDT") == (FIVE,)
    (tmp_path / "my candles.csv").write_text(csv_text(walk(50)))
    with pytest.raises(SourceError, match=r"my candles.csv: its name is no market's.*name it as BTCUSDT.csv"):
        FileSource(tmp_path / "my candles.csv")


def test_three_bars_are_refused(tmp_path):
    """Too few even to tell their timeframe."""
    with pytest.raises(CandleError, match=r"BTCUSDT.parquet: 3 bar\(s\).*provide a longer history"):
        plain(tmp_path, walk(3)).candles("BTCUSDT")


def test_missing_columns_are_listed(tmp_path):
    """What is missing, what was found."""
    with pytest.raises(
        SourceError, match=r"columns timestamp, low, volume are missing \(found: close, high, open, when\)"
    ):
        csv(tmp_path, "when,open,high,close\n1,1,1,1\n").candles("BTCUSDT")
    with pytest.raises(SourceError, match="columns open appear twice"):
        csv(tmp_path, "timestamp,open,Open\n1,1,1\n").candles("BTCUSDT")


def test_text_where_a_price_should_be_is_named(tmp_path):
    """The first text, its column and its row."""
    text = csv_text(walk(20)).replace(f"{walk(20).close[4]!r}".removeprefix("np.float64(").rstrip(")"), "n/a?", 1)
    with pytest.raises(SourceError, match=r"BTCUSDT.csv: 'n/a\?' in column (open|close) at row \d+ is not a number"):
        csv(tmp_path, text).candles("BTCUSDT")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("BTCUSDT.csv", b"", "the file is empty"),
        ("BTCUSDT.csv", b"timestamp,open,high,low,close,volume\n", "the file has no rows"),
        ("BTCUSDT.parquet", b"PAR1 this is not parquet", "it cannot be read"),
        ("BTCUSDT.feather", b"nor is this feather", "it cannot be read"),
        ("BTCUSDT.csv", b"\xff\xfe\x00binary\n\x00", "it cannot be read"),
    ],
)
def test_files_that_cannot_be_read_are_refused_by_name(tmp_path, name, data, message):
    """Empty, header only, damaged, binary."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=f"{name}: {message}"):
        FileSource(tmp_path).candles("BTCUSDT")


def test_folders_that_hold_nothing_say_where_to_look(tmp_path):
    """Absent, empty, and one level too high."""
    with pytest.raises(SourceError, match="is not a folder"):
        FileSource(tmp_path / "absent")
    with pytest.raises(SourceError, match=r"holds no market files.*candles_5m/BTCUSDT.parquet"):
        FileSource(tmp_path)
    (tmp_path / "venue" / "candles_5m").mkdir(parents=True)
    pq.write_table(table(walk(50)), tmp_path / "venue" / "candles_5m" / "BTCUSDT.parquet")
    with pytest.raises(SourceError, match="point at one of the folders inside it: venue"):
        FileSource(tmp_path)


def test_an_unknown_symbol_is_answered_with_near_names(tmp_path):
    """A typing error gets the name that was meant."""
    with pytest.raises(SourceError, match=r"BTCUSTD: no candles.*did you mean BTCUSDT\? 1 symbols are there: BTCUSDT"):
        plain(tmp_path, walk(50)).candles("BTCUSTD")


def test_bad_funding_names_its_file(tmp_path):
    """The market's own rule, with the file in front."""
    for folder in ("candles_5m", "funding"):
        (tmp_path / folder).mkdir()
    rates = pa.table({"timestamp": pa.array([JANUARY_31, JANUARY_31]), "funding_rate": [0.0, 0.0]})
    pq.write_table(rates, tmp_path / "funding" / "BTCUSDT.parquet")
    with pytest.raises(FundingError, match=r"BTCUSDT.parquet: BTCUSDT: stamps out of order or doubled"):
        FileSource(tmp_path).funding("BTCUSDT")


def test_a_request_yields_its_window(tmp_path):
    """Half-open in time; a kind the folder lacks yields nothing."""
    source = plain(tmp_path, walk(50))
    lo, hi = JANUARY_31 + 5 * FIVE.ms, JANUARY_31 + 9 * FIVE.ms

    def ask(kind):
        return list(source.fetch(FetchRequest(symbol="BTCUSDT", kind=kind, timeframe=FIVE, start_ms=lo, end_ms=hi)))

    (bars,) = ask(Kind.CANDLES)
    assert same(bars, walk(50).between(lo, hi))
    assert ask(Kind.FUNDING) == ask(Kind.OPEN_INTEREST) == []


@pytest.mark.parametrize(
    ("folder", "symbols"),
    [("marketlab_um", 11), ("genetic_um", 22), ("cointrading_spot", 3), ("freqtrade_testdata_spot", 8)],
)
def test_real_folders_are_listed_and_read(folder, symbols):
    """Every 5m history of the folder passes, or is refused by a rule of the market, by name."""
    source = FileSource(real_data_dir() / folder)
    assert len(source.symbols(FIVE)) == symbols
    read = [source.candles(symbol, FIVE) for symbol in source.symbols(FIVE)[:3]]
    assert all(len(bars) > 1000 for bars in read)


def test_real_funding_with_jitter_and_open_interest_off_the_grid_are_read():
    """Stamps stay as the venue wrote them."""
    funding = FileSource(real_data_dir() / "alpergulsen_um").funding("ETHUSDT")
    assert funding is not None
    assert (funding.time % 1000 != 0).any()
    held = FileSource(real_data_dir() / "vision_metrics_um").open_interest("BTCUSDT")
    assert held is not None
    assert (held.time % FIVE.ms != 0).any()
    assert (held.value == 0).any()


def test_hourly_real_candles_tell_their_own_timeframe(tmp_path):
    """A plain file needs no timeframe in its name, though an hour is missing from it."""
    found = real_data_dir() / "futuresklines_spot" / "candles_1h" / "BTCUSDT.parquet"
    (tmp_path / "BTCUSDT.parquet").write_bytes(found.read_bytes())
    assert FileSource(tmp_path).timeframes("BTCUSDT") == (Timeframe.parse("1h"),)


def test_every_refusal_is_one_of_ours(tmp_path):
    """Random damage of a good file never ends in a traceback of somebody else's."""
    source = plain(tmp_path, walk(50))
    good = (tmp_path / "BTCUSDT.parquet").read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(60):
        data = bytearray(good)
        for position in rng.integers(0, len(data), 3):
            data[position] = int(rng.integers(0, 256))
        (tmp_path / "BTCUSDT.parquet").write_bytes(bytes(data))
        with suppress(SourceError, MarketError):
            source.candles("BTCUSDT")
