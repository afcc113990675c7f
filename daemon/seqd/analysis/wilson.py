"""Wilson's interval of a share. Without NumPy, which the parent of a worker never imports."""

import math
from typing import Final

Interval = tuple[float, float]

#: Quantile of the normal distribution that leaves 2.5% above it.
Z: Final = 1.959963984540054


def wilson(share: float, items: int, z: float = Z) -> Interval:
    """Return Wilson's score interval of a share of `items` (Wilson 1927); there is one at least.

    `z` is the quantile of the normal distribution that leaves half of the error above it.
    """
    middle = 2 * items * share + z**2
    spread = z * math.sqrt(z**2 + 4 * items * share * (1.0 - share))
    return (middle - spread) / (2 * (items + z**2)), (middle + spread) / (2 * (items + z**2))
