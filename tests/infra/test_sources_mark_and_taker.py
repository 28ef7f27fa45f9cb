"""Files of mark prices, and columns of what takers bought: as in every layout, named at the moment they are known."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import SourceError
from infra.lake import Lake
from infra.sources import FetchRequest, FileSource, Kind
from infra.sources.joining import join_mark, join_taker
from infra.sources.market_files import read_metrics
from market.basis import basis_on_grid
from market.errors import MarkPriceError, TakerFlowError
from market.grid import to_grid
from market.taker_flow import taker_on_grid
from market.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, Timeframe
from tasks.collecting import fetch_into_lake
from tests.infra.lake_data import FIVE, JANUARY_31, same, walk
from tests.infra.test_sources_archive import DAYS, day, klines, part, put
from tests.real_data import real_data_dir

PERPETUALS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "HYPEUSDT", "ZECUSDT", "ORCAUSDT")


def write(folder, columns, *, name="BTCUSDT"):
    """One Parquet file of a kind."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def candle_columns(bars, **more):
    """The columns of candles, and others."""
    named = {column: getattr(bars, column) for column in ("open", "high", "low", "close", "volume")}
    return {"timestamp": pa.array(bars.open_time).cast(pa.timestamp("ms")), **named, **more}


def test_the_archives_mark_prices_are_known_by_their_folder(tmp_path):
    """Months and days of any length up to an hour are one hourly history beside the klines; longer ones are left."""
    um = tmp_path / "futures" / "um"
    put(um / "monthly" / "klines" / "BTCUSDT" / "5m", "BTCUSDT-5m-2025-01", klines(part(0)))
    marks = replace(DAYS, volume=np.zeros(len(DAYS)))
    for number, folder in enumerate(("monthly", "daily")):
        bars = marks.between(JANUARY_31 + number * DAY_MS, JANUARY_31 + (number + 1) * DAY_MS)
        name = "BTCUSDT-5m-2025-01" if folder == "monthly" else f"BTCUSDT-5m-{day(1)}"
        put(um / folder / "markPriceKlines" / "BTCUSDT" / "5m", name, klines(bars), checksum=True)
    put(um / "monthly" / "markPriceKlines" / "BTCUSDT" / "8h", "BTCUSDT-8h-2025-01", "nobody reads this")
    source = FileSource(um)
    mark = source.mark("BTCUSDT")
    assert (mark.time - JANUARY_31).tolist() == [hour * HOUR_MS for hour in range(1, 49)]
    assert mark.price.tolist() == DAYS.close[11 : 2 * 288 : 12].tolist()
    assert same(source.candles("BTCUSDT", FIVE), part(0))


def test_takers_buys_come_with_the_klines_that_have_them(tmp_path):
    """Of the twelve columns the tenth, as share of the sixth; of files that overlap each bar once."""
    put(tmp_path, "BTCUSDT-5m-2025-01", klines(part(0), header=False))
    put(tmp_path, f"BTCUSDT-5m-{day(1)}", klines(part(1)))
    put(tmp_path, f"BTCUSDT-5m-{day(0)}", klines(part(0)))
    taker = FileSource(tmp_path).taker("BTCUSDT", FIVE)
    volume = part(0, 2).volume
    assert taker.open_time.tolist() == part(0, 2).open_time[volume > 0].tolist()
    assert (taker.share == 0.25).all()


def test_takers_buys_of_minutes_are_added_up(tmp_path):
    """Five minutes with their volumes, not five shares."""
    minute = Timeframe.parse("1m")
    bars = replace(walk(60), timeframe=minute, open_time=JANUARY_31 + np.arange(60) * minute.ms)
    bought = np.round(bars.volume * np.linspace(0, 1, 60), 3)
    bought[7] = np.nan
    write(tmp_path / "klines_1m", candle_columns(bars, taker_buy_volume=bought))
    taker = FileSource(tmp_path).taker("BTCUSDT", FIVE)
    whole = bought.reshape(12, 5).sum(axis=1) / bars.volume.reshape(12, 5).sum(axis=1)
    places = [0, *range(2, 12)]
    assert ((taker.open_time - JANUARY_31) // FIVE.ms).tolist() == places
    np.testing.assert_allclose(taker.share, whole[places], rtol=1e-12)


def test_metrics_tell_of_the_five_minutes_before_their_stamp(tmp_path):
    """Rows off the grid or without a ratio are left out; candles that tell themselves are believed instead."""
    bars = walk(156)
    stamps = JANUARY_31 + np.array([FIVE.ms, 2 * FIVE.ms + 1000, 3 * FIVE.ms, 4 * FIVE.ms], dtype=np.int64)
    times = pa.array(stamps).cast(pa.timestamp("ms"))
    metrics = {"timestamp": times, "open_interest": [1.0, 2.0, 0.0, 4.0]}
    write(tmp_path / "open_interest_5m", metrics | {"taker_long_short_vol_ratio": [1.0, 9.0, 3.0, None]})
    write(tmp_path / "candles_5m", candle_columns(bars))
    source = FileSource(tmp_path)
    taker = source.history("BTCUSDT", FIVE).taker
    assert (taker.open_time - JANUARY_31).tolist() == [0, 2 * FIVE.ms]
    assert taker.share.tolist() == [0.5, 0.75]
    assert source.open_interest("BTCUSDT").value.tolist() == [1.0, 2.0, 0.0, 4.0]
    assert source.taker("BTCUSDT", Timeframe.parse("1h")) is None, "ratios alone do not add up"
    write(tmp_path / "candles_5m", candle_columns(bars, taker_buy_base=bars.volume * 0.25))
    assert (FileSource(tmp_path).taker("BTCUSDT", FIVE).share == 0.25).all()


@pytest.mark.parametrize(
    ("folder", "columns", "error", "message"),
    [
        ("mark_1h", {"close": [1.0, -1.0]}, MarkPriceError, "BTCUSDT.parquet: .*zero or negative at row 1"),
        ("mark_1h", {"close": [1.0, None]}, MarkPriceError, "missing or infinite mark price at row 1"),
        ("mark_1h", {"price": [1.0, 1.0]}, SourceError, "columns close are missing"),
        ("mark_15m", {"close": [1.0, 1.0]}, SourceError, r"mark candle of 15m begins .*00:05.*off its grid"),
        ("open_interest_5m", {"open_interest": [1.0, 1.0], "taker_long_short_vol_ratio": [1.0, -0.5]}, TakerFlowError,
         "outside 0 to 1 at row 1"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_by_file_name(tmp_path, folder, columns, error, message):
    """With the row, and nothing of the file is taken."""
    write(tmp_path / "candles_5m", candle_columns(walk(24)))
    step = 5 * MINUTE_MS if folder != "mark_1h" else HOUR_MS
    times = pa.array([JANUARY_31, JANUARY_31 + step]).cast(pa.timestamp("ms"))
    write(tmp_path / folder, {"timestamp": times, **columns})
    with pytest.raises(error, match=message):
        FileSource(tmp_path).history("BTCUSDT", FIVE)


def test_more_bought_than_traded_is_refused_by_file_name(tmp_path):
    """A column of quote units, for example."""
    bars = walk(24)
    write(tmp_path / "klines_5m", candle_columns(bars, taker_buy_volume=bars.volume * 100))
    with pytest.raises(TakerFlowError, match=r"BTCUSDT.parquet: .*outside 0 to 1 at row 0"):
        FileSource(tmp_path).candles("BTCUSDT", FIVE)


def test_parts_that_disagree_are_named(tmp_path):
    """Of mark prices and of shares alike."""
    write(tmp_path / "mark_1h", {"timestamp": pa.array([JANUARY_31]).cast(pa.timestamp("ms")), "close": [1.0]})
    write(tmp_path / "klines_5m", candle_columns(walk(24), taker_buy_volume=walk(24).volume / 2))
    source = FileSource(tmp_path)
    mark, taker = source.mark("BTCUSDT"), source.taker("BTCUSDT", FIVE)
    one, other = tmp_path / "a.zip", tmp_path / "b.zip"
    assert join_mark([(one, mark), (other, mark)]).price.tolist() == [1.0]
    assert join_taker([(one, taker), (other, taker)]).share.tolist() == taker.share.tolist()
    with pytest.raises(SourceError, match=r"a.zip and b.zip disagree on 2025-01-31T01"):
        join_mark([(one, mark), (other, replace(mark, price=mark.price + 1))])
    with pytest.raises(SourceError, match=r"a.zip and b.zip disagree on 2025-01-31T00"):
        join_taker([(one, taker), (other, replace(taker, share=taker.share + 0.1))])


def test_a_source_gives_the_part_in_the_window(tmp_path):
    """Half-open, by close of the hour and by open of the bar; and all kinds end in the lake."""
    place = tmp_path / "files"
    hours = pa.array(JANUARY_31 + np.arange(4) * HOUR_MS).cast(pa.timestamp("ms"))
    write(place / "mark_1h", {"timestamp": hours, "close": [1.0, 2.0, 3.0, 4.0]})
    write(place / "klines_5m", candle_columns(walk(48), taker_buy_volume=walk(48).volume / 4))
    window = {"start_ms": JANUARY_31 + HOUR_MS, "end_ms": JANUARY_31 + 3 * HOUR_MS}
    source, lake = FileSource(place), Lake(tmp_path / "lake")
    (mark,) = source.fetch(FetchRequest(symbol="BTCUSDT", kind=Kind.MARK, timeframe=FIVE, **window))
    assert mark.price.tolist() == [1.0, 2.0]
    assert fetch_into_lake(lake, source, "BTCUSDT", FIVE, **window) == 24 + 2
    assert lake.mark("BTCUSDT").price.tolist() == [1.0, 2.0]
    assert lake.taker("BTCUSDT", FIVE).open_time.tolist() == lake.candles("BTCUSDT", FIVE).open_time.tolist()


@pytest.fixture(scope="module")
def perpetuals():
    """Bars, hourly mark prices and funding of real perpetuals, as their grid and their basis on it."""
    source = FileSource(real_data_dir() / "marketlab_um")
    found = {}
    for symbol in PERPETUALS:
        history = source.history(symbol, FIVE)
        found[symbol] = history, to_grid(history.candles), history.mark
    return found


def test_real_basis_is_small_and_of_its_own_moment(perpetuals):
    """Within 2 % but for a crash; measured a bar early or late the market's own moves would drown it."""
    for symbol, (_, grid, mark) in perpetuals.items():
        basis = basis_on_grid(mark, grid)
        known = basis[~np.isnan(basis)]
        assert known.size > 0.999 * (len(grid) - 11), symbol
        assert (np.abs(known) < 0.02).mean() > 0.999, symbol
        for shift_ms in (-HOUR_MS, HOUR_MS):
            off = basis_on_grid(replace(mark, time=mark.time + shift_ms), grid)
            assert np.nanmedian(np.abs(off)) > 10 * np.median(np.abs(known)), symbol
        for bars in (-1, 1):  # the bar before, and the bar after, of the one that closes with the mark
            off = basis_on_grid(mark, replace(grid, first_index=grid.first_index + bars))
            assert np.nanmedian(np.abs(off)) > 3 * np.median(np.abs(known)), symbol


def test_real_basis_has_the_sign_of_funding(perpetuals):
    """Where longs pay more, the perpetual traded further above its mark before: in most markets, and on the whole."""
    correlations = []
    for history, grid, mark in perpetuals.values():
        measured = basis_on_grid(mark, grid)[(mark.time - 1) // FIVE.ms - grid.first_index]
        ends = np.searchsorted(mark.time, history.funding.time + MINUTE_MS)
        pairs = [
            (np.nanmean(measured[end - 8 : end]), rate)
            for end, rate in zip(ends, history.funding.rate, strict=True)
            if end > 8
        ]
        correlations.append(np.corrcoef(np.array(pairs).T)[0, 1])
    assert sum(found > 0 for found in correlations) >= 5
    assert np.mean(correlations) > 0.15


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"])
def test_real_takers_are_aligned_with_the_bar_they_traded_in(symbol):
    """Correlated by about one half with the bar that opened five minutes before the stamp, and not with the next."""
    root = real_data_dir()
    grid = to_grid(FileSource(root / "marketlab_um").candles(symbol, FIVE))
    (file,) = [file for file in FileSource(root / "vision_metrics_um").files if file.symbol == symbol]
    _, shares = read_metrics(file)
    share = taker_on_grid(shares, grid)
    assert np.isfinite(share).mean() > 0.995
    returns = np.log(grid.close / grid.open)
    for lag, low, high in ((0, 0.3, 0.8), (1, -0.08, 0.08)):
        then, now = share[: len(share) - lag], returns[lag:]
        known = ~np.isnan(then)
        assert low < np.corrcoef(then[known], now[known])[0, 1] < high


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "SOLUSDT"])
def test_real_klines_agree_with_their_own_buys(symbol):
    """Each share is that of the file; the last nine rows, which lack the column, have none."""
    root = real_data_dir() / "cointrading_spot"
    table = pq.read_table(root / "klines_5m" / f"{symbol}.parquet")
    taker, bars = FileSource(root).taker(symbol), FileSource(root).candles(symbol)
    bought = table["taker_buy_volume"].to_numpy(zero_copy_only=False).astype(np.float64)
    assert np.isnan(bought[-9:]).all()
    known = ~np.isnan(bought) & (bars.volume > 0)
    assert taker.open_time.tolist() == bars.open_time[known].tolist()
    assert taker.share.tobytes() == (bought[known] / bars.volume[known]).tobytes()
    returns = np.log(bars.close / bars.open)[known]
    assert 0.3 < np.corrcoef(taker.share, returns)[0, 1] < 0.9
