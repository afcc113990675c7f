"""How fast one core multiplies matrices of an LSTM step: the bound that no kernel passes.

(rows, units) times (units, 4 * units) in float32 by NumPy's library. Whoever starts it sets one
thread; as many of it run at once as there are slots.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from seqd.bench.peers.protocol import serve


def run(asked: Mapping[str, Any]) -> dict[str, object]:
    """Multiply for about `seconds`; gives floating-point operations a second."""
    rows, units = asked["rows"], asked["units"]
    left = np.full((rows, units), 0.5, dtype=np.float32)
    right = np.full((units, 4 * units), 0.5, dtype=np.float32)
    out = np.empty((rows, 4 * units), dtype=np.float32)
    np.matmul(left, right, out=out)
    products, began = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began) < asked["seconds"]:
        for _ in range(50):
            np.matmul(left, right, out=out)
        products += 50
    return {"flop_per_s": products * 2 * rows * units * 4 * units / took_s}


if __name__ == "__main__":
    serve({"run": run})
