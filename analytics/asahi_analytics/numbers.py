"""The numbers of a pandas series, checked: what forecasts and scores are made of."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from asahi_analytics.errors import UserInputError

LARGEST: Final = 1e150
"""Beyond it the square of a number is no longer finite, and whatever is reckoned from it is NaN."""


def floats_of(
    values: pd.Series, name: str, refusal: type[UserInputError] = UserInputError
) -> npt.NDArray[np.float64]:
    """Return a copy of ``values`` as floats, missing ones as NaN; infinite ones stay.

    Raises ``refusal`` for anything but a series of real numbers within ``LARGEST``, called ``name``.
    """
    if not isinstance(values, pd.Series):
        raise refusal(f"{name} must be a pandas Series, got {type(values).__name__}")
    dtype = values.dtype
    if not pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_complex_dtype(dtype):
        raise refusal(f"{name} must hold real numbers, got dtype {dtype}; convert it with astype(float)")
    floats = values.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    beyond = floats[np.isfinite(floats) & (np.abs(floats) > LARGEST)]
    if beyond.size:
        raise refusal(f"{name} must lie within {LARGEST:g}, got {beyond[0]:g}")
    return floats
