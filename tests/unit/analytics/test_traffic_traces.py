"""Traces are read whole or refused with the place and the reason."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from asahi_analytics.errors import UserInputError
from asahi_analytics.traffic.formats import FORMATS, format_of
from asahi_analytics.traffic.traces import Trace, TraceLabels, read_trace

BINNED = "model,client,t_s,requests,input_tokens_mean,output_tokens_mean\n"
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURST = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"

Reader = Callable[[str], Trace]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    def write_and_read(content: str) -> Trace:
        path = tmp_path / "trace.csv"
        path.write_text(content, newline="")
        return read_trace(path)

    return write_and_read


def test_a_binned_trace_is_sorted_by_time_and_keeps_its_labels(read: Reader) -> None:
    trace = read(BINNED + "m-large,7,600,10,427.5,147.5\nm-small,0,0,3,1,2\nm-large,7,1200,1,5,6\n")
    assert trace.format.name == "binned"
    assert trace.times_s.tolist() == [0, 600, 1200]
    assert [trace.labels[code] for code in trace.label] == [
        TraceLabels("m-small", None, "0"),
        TraceLabels("m-large", None, "7"),
        TraceLabels("m-large", None, "7"),
    ]
    assert trace.requests.tolist() == [3, 10, 1]
    assert trace.input_tokens.tolist() == [1, 427.5, 5]
    assert (trace.length_s, trace.total_requests, trace.started) == (1800, 14, None)


@pytest.mark.parametrize("packed", [False, True])
def test_a_trace_may_come_through_a_pipe(tmp_path: Path, packed: bool) -> None:
    content = (BINNED + "m-large,7,600,10,427.5,147.5\n").encode()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(content) if packed else content,))
    writer.start()
    trace = read_trace(pipe, lambda *_: None)
    writer.join(5)
    assert trace.total_requests == 10


def test_an_azure_trace_counts_from_its_first_request(read: Reader) -> None:
    trace = read(AZURE + "2023-11-16 18:15:50.9951690,396,109\n2023-11-16 18:15:46.6805900,374,44\n")
    assert trace.started == datetime(2023, 11, 16, 18, 15, 46, 680590, tzinfo=UTC)
    np.testing.assert_allclose(trace.times_s, [0, 4.314579], atol=1e-6)
    assert trace.input_tokens.tolist() == [374, 396]
    assert trace.labels == (TraceLabels(None, None, None),)


def test_azure_times_with_a_zone_are_points_in_time(read: Reader) -> None:
    trace = read(AZURE + "2024-05-10 02:00:00.009930+02:00,1,2\n")
    assert trace.started == datetime(2024, 5, 10, 0, 0, 0, 9930, tzinfo=UTC)


def test_a_burstgpt_row_without_an_answer_is_a_failed_request(read: Reader) -> None:
    trace = read(BURST + "5,,2.5,ChatGPT,472,18,490,Conversation log\n45,,,GPT-4,1087,0,1087,API log\n")
    assert trace.failed.tolist() == [False, True]
    assert trace.latency_ms[0] == 2500
    assert np.isnan(trace.latency_ms[1])
    assert trace.labels == (
        TraceLabels("ChatGPT", "Conversation log", None),
        TraceLabels("GPT-4", "API log", None),
    )
    assert trace.length_s == 46


def test_the_short_header_of_burstgpt_is_enough(read: Reader) -> None:
    trace = read("Timestamp,Model,Request tokens,Response tokens\n5,ChatGPT,472,18\n")
    assert trace.labels == (TraceLabels("ChatGPT", None, None),)


def test_gzip_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    content = (BINNED + "m,1,0,1,1,1\n").encode()
    for name in ("trace.csv.gz", "trace.csv"):
        (tmp_path / name).write_bytes(gzip.compress(content))
        assert read_trace(tmp_path / name).total_requests == 1


def test_quotes_blank_lines_a_byte_order_mark_and_windows_line_ends_do_no_harm(read: Reader) -> None:
    trace = read("\ufeff" + BINNED.replace("\n", "\r\n") + '\r\n"m, ""x""",1,0,1,1,1\r\n\r\n')
    assert trace.labels[0].model == 'm, "x"'


def test_columns_may_come_in_any_order_and_with_others(read: Reader) -> None:
    trace = read("GeneratedTokens,TIMESTAMP,Extra,ContextTokens\n7,2023-11-16 18:00:00,x,9\n")
    assert (trace.input_tokens[0], trace.output_tokens[0]) == (9, 7)


def test_rows_without_requests_are_left_out(read: Reader) -> None:
    assert read(BINNED + "m,1,0,0,1,1\nm,1,600,2,1,1\n").total_requests == 2


def test_progress_reaches_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(BINNED + "m,1,0,1,1,1\n" * 10_000)
    heard: list[tuple[int, int]] = []
    read_trace(path, lambda done, total: heard.append((done, total)))
    assert heard[-1] == (path.stat().st_size, path.stat().st_size)
    assert len(heard) >= 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        (BINNED, "has a header but no requests"),
        (
            "a,b\n1,2\n",
            r"found: 'a,b'; known headers:\n  binned: model,client.*\n  azure: TIME.*\n  burstgpt: ",
        ),
        (BINNED + "m,1,0,1,1,1\nm,1,0,1,-5,1\n", r"line 3: input_tokens_mean is -5; it must be from 0"),
        (BURST + "5,,1,ChatGPT,10,-2,8,x\n", "line 2: Response tokens is -2"),
        (AZURE + "2023-11-16 18:15:46,-1,4\n", "line 2: ContextTokens is -1"),
        (AZURE + "2023-11-16 18:15:46,1.5,4\n", r"line 2: ContextTokens is 1\.5; it must be a whole number"),
        (AZURE + "yesterday,1,4\n", "line 2: TIMESTAMP is 'yesterday'; write it like"),
        (BINNED + "m,1,0,1.5,1,1\n", r"line 2: requests is 1\.5; it must be a whole number"),
        (BINNED + "m,1,0,1,nan,1\n", "line 2: input_tokens_mean is nan; it must be from 0"),
        (BINNED + "m,1,0,1,many,1\n", "line 2: input_tokens_mean is 'many', not a number"),
        (BINNED + "m,1,0,1,inf,1\n", "line 2: input_tokens_mean is inf"),
        (BINNED + ",1,0,1,1,1\n", "line 2: model is empty"),
        (BINNED + "m,1,0,1\n", "line 2: 4 columns where the header has 6; is the file cut off"),
        (BINNED + "m" * 200_000 + ",1,0,1,1,1\n", "line 2: field larger than field limit"),
    ],
)
def test_a_wrong_file_is_refused_with_place_and_reason(read: Reader, content: str, message: str) -> None:
    with pytest.raises(UserInputError, match=message):
        read(content)


def test_a_gzip_that_is_cut_off_says_so(tmp_path: Path) -> None:
    rows = "".join(f"m,{row},{row},1,1.{row},1\n" for row in range(3000))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((BINNED + rows).encode())[:-2000])
    with pytest.raises(UserInputError, match="cut off: the gzip stream ends too early"):
        read_trace(tmp_path / "t.csv.gz")


def test_a_damaged_gzip_says_so(tmp_path: Path) -> None:
    rows = "".join(f"m,{row},{row},1,1.{row},1\n" for row in range(3000))
    packed = bytearray(gzip.compress((BINNED + rows).encode()))
    packed[200:260] = bytes(60)
    (tmp_path / "t.csv.gz").write_bytes(packed)
    with pytest.raises(UserInputError, match=r"t\.csv\.gz"):
        read_trace(tmp_path / "t.csv.gz")


def test_a_file_called_gz_that_is_not_gzip_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_text(BINNED + "m,1,0,1,1,1\n")
    with pytest.raises(UserInputError, match=r"called \.gz but is not gzip"):
        read_trace(tmp_path / "t.csv.gz")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match=r"none\.csv cannot be read: No such file"):
        read_trace(tmp_path / "none.csv")
    with pytest.raises(UserInputError, match="cannot be read: Is a directory"):
        read_trace(tmp_path)


def test_bytes_that_are_not_text_say_so(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\x89PNG\xff\xfe\x00" * 50)
    with pytest.raises(UserInputError, match="not text"):
        read_trace(tmp_path / "t.csv")


def test_every_format_is_found_by_its_own_columns() -> None:
    assert [format_of(known.columns) for known in FORMATS] == list(FORMATS)
