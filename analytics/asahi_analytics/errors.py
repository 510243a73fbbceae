"""What can go wrong, as one tree.

AnalyticsError
├── UserInputError                 a parameter, a file or a setting is wrong; also a ValueError
│   └── UnknownName                nothing was counted under a name; the message says which names there are
├── NotEnoughData                  the question is fair, but there is too little history to answer it
└── PrometheusError                Prometheus did not give a usable answer
    ├── PrometheusUnreachable      no connection
    ├── PrometheusTimeout          no answer in time, or the query was cut off by the server's own limit
    │   └── AnswerTooLate          the time for the whole answer, of all its queries, is spent
    ├── PrometheusRefused          an answer that is an error: the server's words are in the message
    └── PrometheusAnswerInvalid    an answer that is not the Prometheus API's
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

NAMES_SHOWN: Final = 30


class AnalyticsError(Exception):
    """Root of every error that the analytics service raises on purpose."""


class UserInputError(AnalyticsError, ValueError):
    """What the caller passed cannot be used; the message says what was got and what to pass.

    ``parameter`` names what was passed where it is one parameter of a question.
    """

    def __init__(self, message: str, parameter: str | None = None) -> None:
        """Say what is wrong, and of which parameter."""
        super().__init__(message)
        self.parameter = parameter


class UnknownName(UserInputError):  # noqa: N818  (reads better where it is raised)
    """Nothing was counted under the name that was passed; ``known`` are those to pass, the largest first."""

    def __init__(self, parameter: str, got: str, known: Sequence[str], where: str) -> None:
        """Say which names there are ``where``, the first ``NAMES_SHOWN`` of them."""
        self.known = tuple(known[:NAMES_SHOWN])
        more = f" and {len(known) - NAMES_SHOWN} more" if len(known) > NAMES_SHOWN else ""
        super().__init__(
            f"{parameter} must be one of {', '.join(self.known)}{more} ({where}); got {got[:80]!r}", parameter
        )


class NotEnoughData(AnalyticsError):  # noqa: N818  (reads better where it is raised)
    """Too little history to answer honestly; the message says how much there is and how much is needed."""


class PrometheusError(AnalyticsError):
    """Prometheus did not give a usable answer."""


class PrometheusUnreachable(PrometheusError):  # noqa: N818
    """No connection to Prometheus could be made."""


class PrometheusTimeout(PrometheusError):  # noqa: N818
    """Prometheus did not answer in time."""


class AnswerTooLate(PrometheusTimeout):
    """The time for a whole answer was spent before Prometheus had answered all its queries."""


class PrometheusRefused(PrometheusError):  # noqa: N818
    """Prometheus answered with an error of its own."""


class PrometheusAnswerInvalid(PrometheusError):  # noqa: N818
    """What came back is not an answer of the Prometheus HTTP API."""
