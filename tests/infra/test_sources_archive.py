"""Binance's public archive: zips of klines, funding and metrics, joined into one history or refused by name."""

import hashlib
import struct
import zipfile
from datetime import UTC, datetime

import numpy as np
import pytest

from infra.errors import SourceError
from infra.sources import FileSource
from market.errors import CandleError
from market.timeframe import DAY_MS, HOUR_MS, Timeframe
from tests.infra.lake_data import FIVE, JANUARY_31, same, walk

_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
DAYS = walk(4 * 288)  # from 2025-01-31 on: the last day of one month, the first of the next


def klines(bars, *, header=True, unit=1, count=7):
    """CSV as in the archive; ``unit`` 1000 writes microseconds."""
    lines = [_HEADER] if header else []
    for i, time in enumerate(bars.open_time.tolist()):
        values = [repr(float(getattr(bars, name)[i])) for name in ("open", "high", "low", "close", "volume")]
        closed = (time + bars.timeframe.ms) * unit - 1
        bought = repr(float(bars.volume[i]) * 0.25)
        lines.append(",".join([str(time * unit), *values, str(closed), "1.5", str(count), bought, "0.7", "0"]))
    return "\n".join(lines) + "\n"


def put(folder, name, text, *, member=None, checksum=None):
    """One zip ``name.zip`` in ``folder``, with its checksum where one is given (True: the right one)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr(member or f"{name}.csv", text)
    if checksum is not None:
        right = hashlib.sha256(path.read_bytes()).hexdigest()
        line = f"{right}  {path.name}\n" if checksum is True else checksum
        (folder / f"{path.name}.CHECKSUM").write_text(line)
    return path


def part(first_day, days=1):
    """Bars of whole days, counted from 2025-01-31."""
    return DAYS.between(JANUARY_31 + first_day * DAY_MS, JANUARY_31 + (first_day + days) * DAY_MS)


def day(n):
    """Name of the day ``n`` days after 2025-01-31."""
    return datetime.fromtimestamp((JANUARY_31 + n * DAY_MS) / 1000, tz=UTC).strftime("%Y-%m-%d")


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("unit", [1, 1000])
def test_months_and_days_are_one_history(tmp_path, header, unit):
    """Zips and a plain CSV, with and without header, in ms or us; what two of them hold counts once."""
    text = {n: klines(part(n), header=header, unit=unit) for n in range(4)}
    put(tmp_path, "BTCUSDT-5m-2025-01", text[0], checksum=True)
    put(tmp_path, f"BTCUSDT-5m-{day(0)}", text[0])
    put(tmp_path, f"BTCUSDT-5m-{day(2)}", text[2])
    (tmp_path / f"BTCUSDT-5m-{day(1)}.csv").write_text(text[1])
    (tmp_path / "BTCUSDT-5m-2025-02.csv").write_text(klines(part(2, 2), header=header))  # two days again, in ms
    source = FileSource(tmp_path)
    assert (source.symbols(FIVE), source.timeframes("BTCUSDT")) == (("BTCUSDT",), (FIVE,))
    assert same(source.candles("BTC/USDT:USDT", FIVE), DAYS)


def test_the_archives_own_tree_is_read_from_any_of_its_folders(tmp_path):
    """Klines, funding and metrics of one market; mark prices, trades and coin-margined contracts are left alone."""
    um = tmp_path / "data" / "futures" / "um"
    put(um / "monthly" / "klines" / "BTCUSDT" / "5m", "BTCUSDT-5m-2025-01", klines(part(0)), checksum=True)
    put(um / "daily" / "klines" / "BTCUSDT" / "5m", f"BTCUSDT-5m-{day(1)}", klines(part(1)))
    put(um / "monthly" / "markPriceKlines" / "BTCUSDT" / "5m", "BTCUSDT-5m-2025-02", klines(part(2)))
    put(um / "daily" / "trades" / "BTCUSDT", f"BTCUSDT-trades-{day(0)}", "id,price\n1,2\n")
    put(tmp_path / "data" / "futures" / "cm" / "daily" / "klines" / "BTCUSD_PERP" / "5m", "BTCUSD_PERP-5m-2025-01", "x")
    settled = [f"{JANUARY_31 + n * 8 * HOUR_MS + 3},8,0.000{n + 1}" for n in range(3)]
    funding = "calc_time,funding_interval_hours,last_funding_rate\n" + "\n".join(settled)
    put(um / "monthly" / "fundingRate" / "BTCUSDT", "BTCUSDT-fundingRate-2025-01", funding)
    for n in range(2):
        rows = [f"{day(n)} 00:{minute:02}:00,BTCUSDT,{1000 + n}.5,7,1,1,1,1" for minute in (0, 5, 10)]
        rows += [f"{day(n + 1)} 00:00:00,BTCUSDT,1001.5,7,1,1,1,1"]
        metrics = "create_time,symbol,sum_open_interest,sum_open_interest_value,a,b,c,d\n" + "\n".join(rows)
        put(um / "daily" / "metrics" / "BTCUSDT", f"BTCUSDT-metrics-{day(n)}", metrics)
    for place in (tmp_path, um, um / "monthly" / "klines"):
        found = FileSource(place).history("BTCUSDT", FIVE)
        assert same(found.candles, part(0) if "monthly" in place.parts else part(0, 2))
        assert (found.funding is None) == (place.name == "klines")
    found = FileSource(tmp_path).history("BTCUSDT", FIVE)
    assert found.funding.time.tolist() == [JANUARY_31 + n * 8 * HOUR_MS + 3 for n in range(3)]
    assert found.funding.rate.tolist() == [1e-4, 2e-4, 3e-4]
    assert found.open_interest.value.tolist() == [1000.5] * 3 + [1001.5] * 4
    assert FileSource(tmp_path).symbols() == ("BTCUSDT",)


def test_spot_and_futures_in_one_tree_are_refused(tmp_path):
    """The same names in both: which market is meant cannot be guessed."""
    for market in (tmp_path / "futures" / "um", tmp_path / "spot"):
        put(market / "monthly" / "klines" / "BTCUSDT" / "5m", "BTCUSDT-5m-2025-01", klines(part(0)))
    with pytest.raises(SourceError, match=r"both hold BTCUSDT candles.*point at the folder"):
        FileSource(tmp_path)
    assert FileSource(tmp_path / "spot").symbols(FIVE) == ("BTCUSDT",)


def test_files_that_disagree_are_named(tmp_path):
    """One close differs in the last digit: both files, the time and the two rows."""
    put(tmp_path, "BTCUSDT-5m-2025-01", klines(part(0)))
    other = walk(288)
    other.close[100] = np.nextafter(other.close[100], 0)
    put(tmp_path, f"BTCUSDT-5m-{day(0)}", klines(other))
    with pytest.raises(
        SourceError, match=r"BTCUSDT-5m-2025-01-31.zip and BTCUSDT-5m-2025-01.zip disagree on 2025-01-31T08:20"
    ):
        FileSource(tmp_path).candles("BTCUSDT", FIVE)


def test_days_of_one_bar_make_a_history(tmp_path):
    """A daily file of 1d bars has one row; too few of them are refused with the first and last name."""
    one_day = Timeframe.parse("1d")
    for n in range(12):
        bar = walk(1)
        bar.open_time[:] = JANUARY_31 + n * DAY_MS
        if n == 11:
            with pytest.raises(CandleError, match=r"BTCUSDT-1d-2025-01-31.zip to BTCUSDT-1d-2025-02-10.zip: 11 bar"):
                FileSource(tmp_path).candles("BTCUSDT")
        put(tmp_path, f"BTCUSDT-1d-{day(n)}", klines(bar))
    assert FileSource(tmp_path).candles("BTCUSDT", one_day).open_time.size == 12


def test_a_missing_day_stays_a_hole(tmp_path):
    """Nothing is put where a file is missing."""
    for n in (0, 2):
        put(tmp_path, f"BTCUSDT-5m-{day(n)}", klines(part(n)))
    assert FileSource(tmp_path).candles("BTCUSDT", FIVE).open_time.tolist() == [*part(0).open_time, *part(2).open_time]


@pytest.mark.parametrize(
    ("checksum", "message"),
    [
        (f"{'0' * 64}  BTCUSDT-5m-2025-01.zip\n", r"BTCUSDT-5m-2025-01.zip: its SHA-256 is .* says 000000000000"),
        (f"{'0' * 64}  ETHUSDT-5m-2025-01.zip\n", r"BTCUSDT-5m-2025-01.zip.CHECKSUM: it is not the SHA-256 of"),
        ("", r"BTCUSDT-5m-2025-01.zip.CHECKSUM: it is not the SHA-256 of"),
    ],
)
def test_a_checksum_that_does_not_match_is_refused(tmp_path, checksum, message):
    """Another zip, another name, an empty file; each with the remedy."""
    put(tmp_path, "BTCUSDT-5m-2025-01", klines(part(0)), checksum=checksum)
    with pytest.raises(SourceError, match=rf"{message}.*download"):
        FileSource(tmp_path).candles("BTCUSDT", FIVE)


def two_members(path):
    with zipfile.ZipFile(path, "a") as pack:
        pack.writestr("note.csv", "1,2\n")


def bomb(path):
    """Let the directory of the zip promise four gigabytes, without writing them."""
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 0xFFFF_FFF0)
    path.write_bytes(bytes(data))


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def encrypted(path):
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (two_members, "it holds BTCUSDT-5m-2025-01.csv, note.csv: only BTCUSDT-5m-2025-01.csv belongs into it"),
        (bomb, "it would unpack to 4,294,967,280 bytes"),
        (flipped, "it cannot be unpacked"),
        (encrypted, "it cannot be unpacked .*(encrypted|password)"),
        (lambda path: path.write_bytes(path.read_bytes()[:900]), "it cannot be unpacked"),
        (lambda path: path.write_bytes(b"<html>404</html>"), "it cannot be unpacked"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
    ],
)
def test_a_zip_that_is_not_what_it_should_be_is_refused(tmp_path, damage, message):
    """Two members, a bomb, damage, encryption, half a download, an error page, nothing: by name, with the remedy."""
    damage(put(tmp_path, "BTCUSDT-5m-2025-01", klines(part(0))))
    with pytest.raises(SourceError, match=rf"BTCUSDT-5m-2025-01.zip: {message}.*What to do"):
        FileSource(tmp_path).candles("BTCUSDT", FIVE)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("BTCUSDT-5m-2025-01", "1738281600000,1,1,1,1\n", "it has no header row and 5 columns"),
        ("BTCUSDT-5m-2025-01", _HEADER.replace("volume", "size", 1) + "\n" + "1," * 11 + "1\n", "volume are missing"),
        ("BTCUSDT-5m-2025-01", "", "it cannot be read"),
        ("BTCUSDT-5m-2025-01", klines(part(0), count=0).replace(",0.5,0.7,0\n", ",,,\n"), None),
        ("BTCUSDT-5m-2025-01", klines(part(0)).replace(repr(float(DAYS.volume[3])), "", 1), "a missing or infinite"),
    ],
)
def test_wrong_columns_are_refused_and_an_empty_cell_is_never_zero(tmp_path, name, text, message):
    """Too few, renamed, none; columns that nobody reads may be empty, a volume may not."""
    put(tmp_path, name, text)
    if message is None:
        assert same(FileSource(tmp_path).candles("BTCUSDT", FIVE), part(0))
        return
    with pytest.raises((SourceError, CandleError), match=rf"{name}.zip: .*{message}"):
        FileSource(tmp_path).candles("BTCUSDT", FIVE)


def test_a_zip_of_another_market_under_this_name_is_refused(tmp_path):
    """By the name inside it, by its column symbol, and mark prices by having trades without volume."""
    put(tmp_path, "BTCUSDT-5m-2025-01", klines(part(0)), member="ETHUSDT-5m-2025-01.csv")
    with pytest.raises(SourceError, match=r"BTCUSDT-5m-2025-01.zip: it holds ETHUSDT-5m-2025-01.csv"):
        FileSource(tmp_path).candles("BTCUSDT", FIVE)
    metrics = f"create_time,symbol,sum_open_interest\n{day(0)} 00:05:00,ETHUSDT,5\n"
    put(tmp_path, f"BTCUSDT-metrics-{day(0)}", metrics)
    with pytest.raises(SourceError, match=r"metrics-2025-01-31.zip: its column symbol says ETHUSDT"):
        FileSource(tmp_path).open_interest("BTCUSDT")
    marks = walk(288)
    marks.volume[:] = 0
    put(tmp_path, "BTCUSDT-5m-2025-01", klines(marks))
    with pytest.raises(SourceError, match=r"BTCUSDT-5m-2025-01.zip: bars without any volume.*folder klines"):
        FileSource(tmp_path).candles("BTCUSDT", FIVE)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("BTCUSDT-5m-2025-03", klines(part(0)), "row 0 is of 2025-01-31T00:00:00.000Z, .* says 2025-03-01T00:00"),
        (f"BTCUSDT-5m-{day(0)}", klines(part(0, 2)), "row 288 is of 2025-02-01T00:00:00.000Z"),
        ("BTCUSDT-5m-2025-02", klines(DAYS.between(JANUARY_31 + DAY_MS - FIVE.ms, JANUARY_31 + 2 * DAY_MS)), "row 0 "),
    ],
)
def test_a_zip_named_for_another_time_is_refused(tmp_path, name, text, message):
    """January under the name of March, a bar too many at the end, and one at the beginning."""
    put(tmp_path, name, text, checksum=True)
    with pytest.raises(SourceError, match=rf"{name}.zip: {message}.*give it the name of what it holds"):
        FileSource(tmp_path).candles("BTCUSDT", FIVE)


def test_stamps_may_come_minutes_late_but_not_of_another_day(tmp_path):
    """A day's metrics end at the next midnight, up to minutes later; funding of another month is refused."""
    held = "create_time,symbol,sum_open_interest\n"
    put(tmp_path, f"BTCUSDT-metrics-{day(0)}", f"{held}{day(0)} 00:05:00,BTCUSDT,5\n{day(1)} 00:04:38,BTCUSDT,6\n")
    assert FileSource(tmp_path).open_interest("BTCUSDT").value.tolist() == [5.0, 6.0]
    put(tmp_path, f"BTCUSDT-metrics-{day(0)}", f"{held}{day(0)} 00:05:00,BTCUSDT,5\n{day(1)} 00:10:00,BTCUSDT,6\n")
    with pytest.raises(SourceError, match=r"metrics-2025-01-31.zip: row 1 is of 2025-02-01T00:10"):
        FileSource(tmp_path).open_interest("BTCUSDT")
    put(tmp_path, "BTCUSDT-fundingRate-2025-02", f"calc_time,last_funding_rate\n{JANUARY_31},0.0001\n")
    with pytest.raises(SourceError, match=r"fundingRate-2025-02.zip: row 0 is of 2025-01-31T00:00"):
        FileSource(tmp_path).funding("BTCUSDT")


def test_a_month_the_calendar_has_not_is_no_archive(tmp_path):
    """``2025-13`` names nothing: the file is no market's."""
    put(tmp_path, "BTCUSDT-5m-2025-13", klines(part(0)))
    with pytest.raises(SourceError, match="holds no market files"):
        FileSource(tmp_path)


def test_minutes_of_the_archive_serve_a_home_of_five(tmp_path):
    """Zips of 1m bars are joined before they are added up, so a bucket may begin in one file and end in the next."""
    minute = Timeframe.parse("1m")
    bars = walk(120)
    bars.open_time[:] = JANUARY_31 + np.arange(120) * minute.ms
    for name, (lo, hi) in {"2025-01": (0, 58), day(0): (58, 120)}.items():
        rows = klines(bars).splitlines()
        put(tmp_path, f"BTCUSDT-1m-{name}", "\n".join([rows[0], *rows[1 + lo : 1 + hi]]))
    source = FileSource(tmp_path)
    assert len(source.candles("BTCUSDT", FIVE)) == 24
    assert source.source_of("BTCUSDT", FIVE) == f"files:{tmp_path.name}@1m"
