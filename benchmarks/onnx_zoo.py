"""The import of ONNX classifiers: how many of the zoo each reader takes, and how far its logits are from the oracle's.

    OMP_NUM_THREADS=1 python -m benchmarks.onnx_zoo

Every classifier of the tests' zoo is written by torch's TorchScript exporter (opset 17) and its default one. A reader
counts when it gives a torch module whose logits differ from onnxruntime's by at most 1e-4.

- `ours`: app.onnx_models, which also refuses whatever is not on its list of operators.
- `onnx2torch`: the peer, if it is there. It imports torchvision for two operators that no classifier here has; a stub
  stands in for them: pip install --no-deps onnx2torch==1.5.15
"""

import importlib.util
import sys
import tempfile
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app import onnx_models
from app.errors import InvalidUpload
from tests.onnx_models import oracle, zoo

CLOSE = 1e-4
EXPORTERS = {"TorchScript, opset 17": {"opset": 17}, "default": {"dynamo": True}}
Reader = Callable[[Path], nn.Module]


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    readers: dict[str, Reader | None] = {"ours": onnx_models.load, "onnx2torch": peer()}
    counts = {(reader, exporter): 0 for reader in readers for exporter in EXPORTERS}
    written = dict.fromkeys(EXPORTERS, 0)
    print(f"{'classifier':<20} {'exporter':<22} " + " ".join(f"{name:>24}" for name in readers))
    with tempfile.TemporaryDirectory() as folder:
        for name in zoo.ZOO:
            for exporter, options in EXPORTERS.items():
                module, x = zoo.make(name)
                path = exported(module, x, Path(folder) / "model.onnx", options)
                if path is None:
                    print(f"{name:<20} {exporter:<22} {'torch cannot export it':>24}")
                    continue
                written[exporter] += 1
                verdicts = [judged(reader, path, x) for reader in readers.values()]
                for reader, (is_right, _) in zip(readers, verdicts, strict=True):
                    counts[reader, exporter] += is_right
                print(f"{name:<20} {exporter:<22} " + " ".join(f"{text:>24}" for _, text in verdicts), flush=True)
    for exporter, total in written.items():
        line = ", ".join(
            f"{name} {counts[name, exporter]}" if reader else f"{name} not installed"
            for name, reader in readers.items()
        )
        print(f"{exporter}: of {total} files {line}")


def exported(module: nn.Module, x: Tensor, path: Path, options: dict) -> Path | None:
    """The file, or None where torch's exporter itself gives up."""
    try:
        return oracle.export(module, x, path, **options)
    except (RuntimeError, torch.onnx.OnnxExporterError):
        return None


def peer() -> Reader | None:
    """onnx2torch's reader, with a stand-in for torchvision."""
    if not importlib.util.find_spec("onnx2torch"):
        return None
    stood_in = not importlib.util.find_spec("torchvision")
    if stood_in:
        operators = types.ModuleType("torchvision.ops")
        operators.nms = operators.roi_align = None
        stub = types.ModuleType("torchvision")
        stub.ops = operators
        sys.modules |= {"torchvision": stub, "torchvision.ops": operators}
    import onnx2torch

    if stood_in:
        # torch's exporter would take the stand-in for the real one.
        del sys.modules["torchvision"], sys.modules["torchvision.ops"]

    return lambda path: onnx2torch.convert(str(path)).eval()


def judged(reader: Reader | None, path: Path, x: Tensor) -> tuple[bool, str]:
    """Whether the reader's logits are the oracle's, and the difference or what it said instead."""
    if reader is None:
        return False, "not installed"
    try:
        with torch.no_grad():
            found = reader(path)(x).numpy()
    except InvalidUpload as refusal:
        return False, f"refused: {refusal.reasons[0].rule}"[:24]
    except (NotImplementedError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        return False, f"{type(error).__name__}: {error}".split("\n")[0][:24]
    difference = float(np.abs(found - oracle.one_by_one(path, x)).max())
    return difference <= CLOSE, f"{difference:.1e}"


if __name__ == "__main__":
    main()
