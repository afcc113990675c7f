"""How fast one core multiplies the matrices of an LSTM's step: the bound that no kernel passes.

(rows, units) times (units, 4 * units) in float32 by NumPy's library. Whoever starts it sets one
thread; as many of it run at once as there are slots.
"""

import time

import numpy as np


class Program:
    def __init__(self, rows: int, units: int) -> None:
        self.left = np.full((rows, units), 0.5, dtype=np.float32)
        self.right = np.full((units, 4 * units), 0.5, dtype=np.float32)

    def multiply(self, seconds: float) -> float:
        """Multiply for about `seconds`; gives floating-point operations a second."""
        out, products, began = self.left @ self.right, 0, time.perf_counter()
        while (took_s := time.perf_counter() - began) < seconds:
            for _ in range(50):
                np.matmul(self.left, self.right, out=out)
            products += 50
        return products * 2 * out.size * self.left.shape[1] / took_s
