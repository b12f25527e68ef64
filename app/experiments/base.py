"""An experiment is a pure function from files and typed parameters to a report."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from app.reports import Estimate, Figure, Metric, Table

Bundle = dict[str, np.ndarray]
Progress = Callable[[float], None]
"""Is told the share of the work that is done, from 0 to 1."""


@dataclass(frozen=True)
class Input:
    """A file that an experiment works on, chosen from those that the person has uploaded."""

    name: str
    kind: str
    """The kind of asset: "model", "dataset", …"""
    help: str
    is_required: bool = True


class Watch:
    """Whom a running experiment tells how far it is. This one tells nobody."""

    def __call__(self, share: float) -> None:
        """The share of the work that is done, from 0 to 1."""

    def show(self, *figures: Figure) -> None:
        """What can be seen so far, such as a loss curve; replaces what was shown before."""


@dataclass(frozen=True)
class Output:
    """A file of the report that becomes a file of its owner in the lab, and so an input of other experiments."""

    file: str
    """Its name among `Report.files`."""
    kind: str
    """The kind of asset."""
    name: str
    """The parameter that holds the name it gets; an empty one is replaced by the experiment's."""


@dataclass(frozen=True)
class Card:
    """What the pages must know of an experiment without importing it."""

    slug: str
    title: str
    summary: str
    inputs: tuple[Input, ...]
    metrics: tuple[Metric, ...]
    experiment: str
    """"package.module:Class", imported on first use."""
    is_heavy: bool = True
    """Whether it waits in the queue for long work, so that quick work never waits behind it."""
    outputs: tuple[Output, ...] = ()

    def load(self) -> type["Experiment"]:
        """The class of the experiment."""
        module, _, name = self.experiment.partition(":")
        experiment: type[Experiment] = getattr(importlib.import_module(module), name)
        return experiment


@dataclass(frozen=True)
class Report:
    """What an experiment found."""

    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    arrays: Bundle = field(default_factory=dict)
    """Named arrays at full precision, kept in storage for downloads and for closer looks."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Further files by name, kept in storage for downloads."""
    notes: tuple[str, ...] = ()
    """What a reader must know before trusting the numbers."""


@dataclass(frozen=True)
class Group:
    """Parameters that a form shows together."""

    title: str
    names: tuple[str, ...]
    is_folded: bool = False
    """Whether most people never need them."""
    note: str = ""
    """What is to be known before one chooses."""


@dataclass(frozen=True)
class Layout:
    """How a form presents the parameters, beyond what they say of themselves."""

    groups: tuple[Group, ...] = ()
    """In their order; parameters of no group come last."""
    titles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Parameter -> choice -> how it reads."""
    presets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Parameter -> label -> a usual value, to be filled in by a button."""
    fills: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Label -> parameter -> value: what one button fills in together."""


@dataclass(frozen=True)
class Axis:
    """One thing to choose for a closer look at a report, such as a sample."""

    name: str
    title: str
    labels: tuple[str, ...]
    default: int = 0
    """The place of the one that is shown first."""


class Experiment(ABC):
    """Something that can be run in the lab."""

    card: ClassVar[Card]
    Parameters: ClassVar[type]
    """A frozen dataclass of `app.parameters.parameter` fields; every one has a default."""
    layout: ClassVar[Layout] = Layout()
    is_inspectable: ClassVar[bool] = False
    """Whether its arrays allow a closer look; then `axes` and `inspect` are its own."""

    @classmethod
    def axes(cls, arrays: Mapping[str, np.ndarray]) -> tuple[Axis, ...]:
        """What can be chosen for a closer look; empty if nothing was kept for one."""
        return ()

    @classmethod
    def inspect(cls, arrays: Mapping[str, np.ndarray], place: tuple[int, ...]) -> tuple[Figure, ...]:
        """A closer look at `place`, which has the place of one label for each of `axes`."""
        return ()

    @abstractmethod
    def run(
        self,
        inputs: Mapping[str, Path],
        parameters: Any,
        rng: np.random.Generator,
        device: str,
        progress: Watch,
    ) -> Report:
        """Run it. Raises InvalidUpload when an input cannot be used, with every reason at once."""
