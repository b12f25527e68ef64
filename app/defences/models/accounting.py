"""What a training with clipped gradients and noise costs in differential privacy, by Opacus' accountants."""

import numpy as np
from opacus.accountants import create_accountant

ACCOUNTANTS = ("rdp", "prv")
"""Rényi differential privacy (Mironov, 2017; Mironov, Talwar and Zhang, 2019), and the tighter privacy random variables
(Gopi, Lee and Wutschitz, 2021)."""
ORDERS = (*(1.0 + tenth / 10.0 for tenth in range(1, 100)), *range(11, 64), 80, 96, 128, 192, 256, 384, 512, 1024)
"""Rényi orders that are tried; Opacus' own end at 63, which is too soon for much noise."""
HALVINGS = 60


def epsilon(noise_multiplier: float, rate: float, steps: int, delta: float, accountant: str = "rdp") -> float:
    """The epsilon at `delta` of so many steps of the Gaussian mechanism on Poisson samples of this rate.

    `noise_multiplier` is the noise's standard deviation divided by the clipping norm. Neighbouring data sets differ in
    one record that is there or not. Infinite without noise.
    """
    if not 0.0 < rate <= 1.0 or not 0.0 < delta < 1.0:
        raise ValueError(f"the rate {rate} must lie in (0, 1] and delta {delta} in (0, 1)")
    if steps <= 0:
        return 0.0
    if noise_multiplier <= 0.0:
        return float("inf")
    accounts = create_accountant(accountant)
    accounts.history = [(noise_multiplier, rate, steps)]
    orders = {"alphas": ORDERS} if accountant == "rdp" else {}
    # With a rate of 1 Opacus takes logarithms of zero where it then uses another branch.
    with np.errstate(divide="ignore"):
        return float(accounts.get_epsilon(delta=delta, **orders))


def noise_multiplier(target: float, rate: float, steps: int, delta: float, accountant: str = "rdp") -> float:
    """The smallest noise multiplier, within a thousandth, with which so many steps cost at most `target` epsilon.

    Raises ValueError when even a thousandfold noise costs more.
    """
    low, high = 0.0, 1.0
    while epsilon(high, rate, steps, delta, accountant) > target:
        low, high = high, 2.0 * high
        if high > 1024.0:
            raise ValueError(f"no noise makes {steps} steps cost at most epsilon {target} at delta {delta}")
    for _ in range(HALVINGS):
        if high - low <= 1e-3 * high:
            break
        middle = (low + high) / 2.0
        low, high = (low, middle) if epsilon(middle, rate, steps, delta, accountant) <= target else (middle, high)
    return high
