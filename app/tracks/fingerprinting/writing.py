"""Writes what teams exchange: zips of one csv, streamed, so that memory does not grow with the capture."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.csv import CSVWriter, WriteOptions

from app.traces import Traces
from app.tracks import answer_tables
from app.tracks.base import Bundle
from app.tracks.fingerprinting.settings import Settings

PACKETS = 1 << 18
"""Packets turned into text at a time."""
DECIMALS = 6
"""Timestamps are written to the microsecond, which is what captures hold."""

Columns = Mapping[str, NDArray[np.generic]]


def write_challenge(public: Bundle, team: int, folder: Path, settings: Settings | None = None) -> list[Path]:
    """Write team_{team}_train.csv.zip and team_{team}_test.csv.zip, what an opponent of `team` downloads.

    The train file has the columns of a defence, with the random capture id as its repetition; the test file has
    the capture id, size and time. Packets stay in the order of the capture.
    """
    settings = settings or Settings()
    cell, rep, size, time = settings.defence_columns
    _, capture = settings.attack_columns
    train, test = folder / f"team_{team}_train.csv.zip", test_file(folder, team)
    labels = {cell: public["train_cell"], rep: public["train_capture"]}
    _write_traces(train, Traces.from_bundle(public, "train_"), labels, (size, time))
    labels = {capture: public["test_capture"]}
    _write_traces(test, Traces.from_bundle(public, "test_"), labels, (size, time))
    return [train, test]


def test_file(folder: Path, team: int) -> Path:
    """The file of the captures that an opponent of `team` classifies."""
    return folder / f"team_{team}_test.csv.zip"


def write_defence(defence: Bundle, path: Path, settings: Settings | None = None) -> None:
    """Write a defence as the csv.zip that a team would upload."""
    cell, rep, size, time = (settings or Settings()).defence_columns
    _write_traces(path, Traces.from_bundle(defence), {cell: defence["cell"], rep: defence["rep"]}, (size, time))


def write_answer(answers: Mapping[int, Bundle], path: Path, settings: Settings | None = None) -> None:
    """Write the answers to the challenges of several teams (team id -> answer) as one csv.zip.

    Probabilities are written with as many digits as bring back the same number.
    """
    team_name, capture_name = (settings or Settings()).attack_columns
    with answer_tables.written(path) as sink:
        header: Sequence[str] = ()
        for team, answer in answers.items():
            probabilities = answer["probabilities"]
            columns: dict[str, NDArray[np.generic]] = {
                team_name: np.full(len(probabilities), team, np.int64),
                capture_name: answer["capture"],
            }
            columns |= {f"proba_class_{c + 1}": probabilities[:, c] for c in range(probabilities.shape[1])}
            if not header:
                header = list(columns)
                sink.write((",".join(header) + "\n").encode())
            _write_rows(sink, [columns])


def _write_traces(path: Path, traces: Traces, labels: Columns, names: tuple[str, str]) -> None:
    with answer_tables.written(path) as sink:
        sink.write((",".join([*labels, *names]) + "\n").encode())
        _write_rows(sink, _packets(traces, labels, names))


def _packets(traces: Traces, labels: Columns, names: tuple[str, str]) -> Iterator[Columns]:
    """The packets of all captures in blocks of PACKETS, with the labels of their captures."""
    total = int(traces.offset[-1])
    for start in range(0, total, PACKETS):
        end = min(start + PACKETS, total)
        first = int(np.searchsorted(traces.offset, start, "right")) - 1
        last = int(np.searchsorted(traces.offset, end, "left"))
        bounds = np.clip(traces.offset[first : last + 1], start, end)
        length = bounds[1:] - bounds[:-1]
        yield {
            **{name: np.repeat(values[first:last], length) for name, values in labels.items()},
            names[0]: traces.size[start:end],
            names[1]: traces.time[start:end].round(DECIMALS),
        }


def _write_rows(sink: IO[bytes], blocks: Iterable[Columns]) -> None:
    options = WriteOptions(include_header=False, batch_size=1 << 14)
    for block in blocks:
        batch = pa.RecordBatch.from_arrays([_arrow(values) for values in block.values()], names=list(block))
        with CSVWriter(sink, batch.schema, write_options=options) as writer:
            writer.write_batch(batch)


def _arrow(values: NDArray[np.generic]) -> pa.Array:
    """The numbers as an Arrow array; `pa.array` would import pandas to see whether they are one of its series."""
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])
