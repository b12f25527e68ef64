"""Rows of the lab for the tests of services, and a child process that says what the test wants."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np

from app import bundles
from app.experiments import runner
from app.extensions import db
from app.models import Status
from app.services import assets

REPORT = {"metrics": {}, "tables": [], "figures": [], "notes": ["done"], "device": "cpu", "files": []}


@dataclass
class Child:
    """Stands in for the sandbox: remembers what it was asked and answers with `verdict`."""

    verdict: Any = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    look: list[dict[str, Any]] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None
    """What happens elsewhere while the child is at work."""

    def run(self, target, arguments, folder, limits, beat=lambda share: None, beat_seconds=5.0):
        self.asked.append(arguments)
        self.meanwhile()
        if self.look:
            (folder / runner.LOOK).write_text(json.dumps(self.look))
        beat(0.5)
        if isinstance(self.verdict, Exception):
            raise self.verdict
        if target.endswith(":check_asset"):
            return {"n": 3, **(self.verdict or {})}
        seed = np.array([arguments["seed"]])
        bundles.write({"seed": seed}, folder / runner.ARRAYS)
        (folder / runner.FILES).mkdir()
        for name, content in self.files.items():
            (folder / runner.FILES / name).write_bytes(content)
        return {**REPORT, "files": sorted(self.files), **(self.verdict or {})}


def make_asset(owner, kind="model", name="", content=b"content", status=Status.ACCEPTED):
    """A file of the lab, as its check has left it."""
    asset = assets.submit(owner, kind, BytesIO(content), name or f"{kind}.file")
    asset.status = status
    db.session.commit()
    return asset


def make_inputs(owner):
    """A model and a data set that a security evaluation takes."""
    return {kind: make_asset(owner, kind) for kind in ("model", "dataset")}
