"""Which accelerator this process may use."""

import sys
from pathlib import Path

DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dri/renderD128")
"""Device files of which one exists wherever torch could find an accelerator on Linux."""


def best() -> str:
    """The accelerator that this process sees, such as "cuda", else "cpu".

    Torch, which takes seconds to load, is asked only where there may be one.
    """
    if sys.platform == "linux" and not any(Path(driver).exists() for driver in DRIVERS):
        return "cpu"
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator.type if accelerator is not None else "cpu"
