"""Secure aggregation, simulated: the server learns the sum of the clients' updates and nothing of a single one."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch

from app.defences.gradients.base import GradientDefence
from app.defences.gradients.client import Client, Shared
from app.parameters import parameter

ORDER = 1 << 40
"""Masked numbers are whole numbers modulo this."""


@dataclass(frozen=True)
class SecureAggregation(GradientDefence):
    """Every client stands for the mean of all, which is what the server can know after unmasking."""

    title: ClassVar[str] = "Secure aggregation"
    source: ClassVar[str] = (
        "Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal and Seth, 2017, CCS, section 4: "
        "masks of pairs that cancel in the sum; simulated without key agreement and dropouts"
    )

    bits: int = parameter(20, "Bits after the point of the numbers that are masked.", minimum=8, maximum=30)

    def protect_all(self, clients: Sequence[Client], generator: torch.Generator) -> list[Shared]:
        """The mean of the clients' shares, once for each of them."""
        shares = [self.protect(client, generator) for client in clients]
        total = self.opened(self.masked(shares, generator))
        mean = {name: values / len(clients) for name, values in total.items()}
        return [dict(mean) for _ in clients]

    def masked(self, shares: Sequence[Shared], generator: torch.Generator) -> list[Shared]:
        """What the server receives of each client: fixed-point numbers that look uniform below ORDER on their own."""
        fixed = [
            {name: (values.double() * 2**self.bits).round().long() % ORDER for name, values in share.items()}
            for share in shares
        ]
        for first, second in combinations(range(len(fixed)), 2):
            for name, values in fixed[first].items():
                mask = torch.randint(ORDER, values.shape, generator=generator, device=generator.device)
                fixed[first][name] = (fixed[first][name] + mask.to(values.device)) % ORDER
                fixed[second][name] = (fixed[second][name] - mask.to(values.device)) % ORDER
        return fixed

    def opened(self, masked: Sequence[Shared]) -> Shared:
        """The sum of the shares, which is all that the masks let the server compute."""
        total = {name: sum((share[name] for share in masked), torch.zeros_like(masked[0][name])) for name in masked[0]}
        # Numbers in the upper half are the negative ones.
        signed = {name: (values % ORDER + ORDER // 2) % ORDER - ORDER // 2 for name, values in total.items()}
        return {name: (values.double() / 2**self.bits).float() for name, values in signed.items()}
