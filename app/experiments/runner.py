"""What a worker's child process does for one job, and for one uploaded asset; see `app.sandbox`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from app import bundles, devices, sandbox
from app.experiments import card
from app.experiments.assets import check
from app.experiments.base import Watch
from app.parameters import parse
from app.reports import Figure

ARRAYS, FILES, LOOK = "arrays.npz", "files", "look.json"


class Reporter(Watch):
    """Leaves what it is told in the job's folder, where the worker sees it."""

    def __init__(self, folder: Path) -> None:
        """A reporter into `folder`."""
        self._tell, self._look = sandbox.report_progress(folder), folder / LOOK

    def __call__(self, share: float) -> None:
        """Leave the share."""
        self._tell(share)

    def show(self, *figures: Figure) -> None:
        """Leave the figures; a reader sees all of them or the ones before."""
        aside = self._look.with_suffix(".part")
        aside.write_text(json.dumps([asdict(figure) for figure in figures]))
        aside.rename(self._look)


def run(folder: Path, experiment: str, parameters: dict[str, Any], inputs: dict[str, str], seed: int) -> dict[str, Any]:
    """Run an experiment; its arrays and files are left in `folder`."""
    chosen = card(experiment).load()
    report = chosen().run(
        {name: Path(path) for name, path in inputs.items()},
        parse(chosen.Parameters, parameters),
        np.random.default_rng(seed),
        devices.best(),
        Reporter(folder),
    )
    bundles.write(report.arrays, folder / ARRAYS)
    (folder / FILES).mkdir()
    for name, content in report.files.items():
        (folder / FILES / name).write_bytes(content)
    return {
        "metrics": {name: asdict(estimate) for name, estimate in report.metrics.items()},
        "tables": [asdict(table) for table in report.tables],
        "figures": [asdict(figure) for figure in report.figures],
        "notes": list(report.notes),
        "files": sorted(report.files),
        "device": devices.best(),
    }


def check_asset(folder: Path, kind: str, path: str) -> dict[str, Any]:
    """Read an uploaded file of some kind; what it holds, for pages and forms. Raises InvalidUpload."""
    return check(kind, Path(path))
