"""Which accelerator this process may use."""


def best() -> str:
    """ "cuda" (or another accelerator) where this process sees one, else "cpu"; loads torch."""
    import torch  # Loaded in the workers' children only.

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator.type if accelerator is not None else "cpu"
