"""A tiny experiment, and files and jobs of the lab as the services would have left them."""

import io
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np

from app import bundles, experiments
from app.errors import InvalidParameters
from app.experiments.assets import KINDS, SUFFIXES
from app.experiments.base import Axis, Card, Experiment, Group, Input, Layout, Report
from app.extensions import db
from app.models import Asset, Job, Status, User, now
from app.parameters import parameter
from app.reports import Figure, Metric
from app.services import files

CARD = Card(
    slug="means",
    title="Means of numbers",
    summary="Says how large numbers are on average.",
    inputs=(Input("numbers", "list", "The numbers."), Input("weights", "list", "Their weights.", is_required=False)),
    metrics=(Metric("mean", "Mean", "The average of all numbers.", "%"),),
    experiment="tests.web.lab_rows:Means",
    is_heavy=False,
)


@dataclass(frozen=True)
class Parameters:
    kind: str = parameter("plain", "Which mean.", choices=("plain", "trimmed"))
    share: float = parameter(0.1, "What is trimmed.", minimum=0.0, maximum=0.5, unit="of all")
    rounds: int = parameter(3, "How often.", minimum=1, maximum=9)
    exact: bool = parameter(True, "Whether to round.")
    words: str = parameter("", "Anything.")

    def __post_init__(self) -> None:
        if self.words == "wrong":
            raise InvalidParameters({"words": "must be right", "share": "does not fit the words"})


class Means(Experiment):
    card = CARD
    Parameters = Parameters
    layout = Layout(
        (Group("Which", ("kind",)), Group("For experts", ("share", "rounds"), is_folded=True)),
        {"kind": {"plain": "The plain one"}},
        {"words": {"Usual words": "as usual"}},
    )
    is_inspectable = True

    def run(self, inputs, parameters, rng, device, progress) -> Report:
        raise NotImplementedError

    @classmethod
    def axes(cls, arrays):
        return (Axis("entry", "Entry", tuple(f"entry {place}" for place in range(len(arrays["values"]))), 1),)

    @classmethod
    def inspect(cls, arrays, place):
        value = float(arrays["values"][place[0]])
        return (Figure("bars", f"Entry {place[0]}", "", "Value", {"labels": ["it"], "values": [value]}),)


NUMBERS = {
    "title": "Numbers",
    "columns": ["Name", "Value"],
    "rows": [["b", 0.30000000000000004], ["a", 12]],
    "note": "All.",
}


def _figure(kind: str, title: str, x: str, y: str, /, **arrays: Any) -> dict[str, Any]:
    return {"kind": kind, "title": title, "x": x, "y": y, "arrays": arrays, "note": ""}


REPORT: dict[str, Any] = {
    "metrics": {
        "mean": {"value": 0.123456789012345, "low": 0.1, "high": 0.2},
        "extra": {"value": 2.0, "low": None, "high": None},
    },
    "tables": [NUMBERS, {"title": "Faults", "columns": ["What"], "rows": [], "note": ""}],
    "figures": [
        _figure("bars", "By name", "Name", "Value", labels=["a", "b"], values=[1.0, 2.0]),
        _figure("lines", "By time", "Time", "Value", x=[0, 1], y=[[1.0, None], [0.1, 0.2]], series=["p", "q"]),
        _figure("images", "As seen", "", "", images=[[[0.0, 1.0], [1.0, 0.0]]], captions=["a board"]),
        _figure("heatmap", "By both", "Column", "Row", values=[[0.0, 0.5], [1.0, 0.25]], rows=[*"rs"], columns=[*"cd"]),
    ],
    "notes": ["Only three numbers were seen.", "They were small."],
    "device": "cpu",
}


def offer(monkeypatch) -> None:
    """Make the tiny experiment, and its kind of files, the only ones."""
    monkeypatch.setattr(experiments, "CARDS", (CARD,))
    monkeypatch.setitem(KINDS, "list", lambda path: {"n": 3})
    monkeypatch.setitem(SUFFIXES, "list", (".txt",))


def make_asset(owner: User, name: str = "numbers.txt", status: Status | str = Status.ACCEPTED, **values: Any) -> Asset:
    """A file; `values` are columns."""
    digest, size = files.store().put(io.BytesIO(b"1 2 3"))
    columns = {"kind": "list", "version": 1, "digest": digest, "size": size, "facts": {"n": 3}}
    columns |= {"key": uuid4().hex, "finished_at": now() if Status(status).final else None}
    asset = Asset(owner_id=owner.id, name=name, status=Status(status), **{**columns, **values})
    db.session.add(asset)
    db.session.commit()
    return asset


def make_job(owner: User, status: Status | str = Status.ACCEPTED, arrays: Any = None, **values: Any) -> Job:
    """A job; one that is accepted has REPORT and an array of three values."""
    state = Status(status)
    columns: dict[str, Any] = {"key": uuid4().hex, "experiment": "means", "seed": 7, "parameters": {}, "inputs": {}}
    if state is not Status.QUEUED:
        columns["started_at"] = columns["heartbeat_at"] = now()
    if state.final:
        columns |= {"finished_at": now(), "progress": 1.0}
    if state is Status.ACCEPTED:
        kept = arrays or {"values": np.array([1.0, 2.0, 3.0])}
        columns |= {"report": REPORT, "arrays": keep(kept)}
    job = Job(owner_id=owner.id, status=state, **{**columns, **values})
    db.session.add(job)
    db.session.commit()
    return job


def keep(arrays: Any) -> str:
    """Arrays in storage; their digest."""
    with files.workspace() as folder:
        bundles.write(arrays, folder / "arrays.npz")
        with (folder / "arrays.npz").open("rb") as file:
            return files.store().put(file)[0]
