"""What a worker's child process does for one job, and for one uploaded asset; see `app.sandbox`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from app import bundles, devices, sandbox
from app.experiments import card
from app.experiments.assets import check
from app.parameters import parse

ARRAYS = "arrays.npz"


def run(folder: Path, experiment: str, parameters: dict[str, Any], inputs: dict[str, str], seed: int) -> dict[str, Any]:
    """Run an experiment; its arrays are left in `folder`."""
    chosen = card(experiment).load()
    report = chosen().run(
        {name: Path(path) for name, path in inputs.items()},
        parse(chosen.Parameters, parameters),
        np.random.default_rng(seed),
        devices.best(),
        sandbox.report_progress(folder),
    )
    bundles.write(report.arrays, folder / ARRAYS)
    return {
        "metrics": {name: asdict(estimate) for name, estimate in report.metrics.items()},
        "tables": [asdict(table) for table in report.tables],
        "figures": [asdict(figure) for figure in report.figures],
        "notes": list(report.notes),
        "device": devices.best(),
    }


def check_asset(folder: Path, kind: str, path: str) -> dict[str, Any]:
    """Read an uploaded file of some kind; what it holds, for pages and forms. Raises InvalidUpload."""
    return check(kind, Path(path))
