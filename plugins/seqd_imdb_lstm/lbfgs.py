"""Minimises a smooth convex function of many variables: L-BFGS (Liu and Nocedal 1989).

Called by `ngram_fitting`. SciPy has the same; it would be a dependency for these lines alone.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
#: A function that gives its value and its gradient at a point.
Function = Callable[[Doubles], tuple[float, Doubles]]

#: Moves that the shape of the function is guessed from.
_MEMORY: Final = 10

#: The end: a gradient of so much of the first one's length.
_TOLERANCE: Final = 1e-4

#: Share of the fall that the slope promises, which a step must bring (Armijo's rule).
_LEAST_FALL: Final = 1e-4

#: Shortest share of a step that is tried; a convex function falls long before.
_SHORTEST: Final = 1e-6


def minimise(
    function: Function,
    start: Doubles,
    most_steps: int,
    check_stop: Callable[[], None] = lambda: None,
) -> Doubles:
    """Give the point that is reached; `check_stop` is called before each step and may raise."""
    here, (value, gradient) = start, function(start)
    goal = _TOLERANCE * float(np.linalg.norm(gradient))
    moves: list[tuple[Doubles, Doubles]] = []
    for _ in range(most_steps):
        check_stop()
        if np.linalg.norm(gradient) <= goal:
            break
        direction = -_newton_like(gradient, moves)
        slope, share = float(gradient @ direction), 1.0
        while True:
            there = here + share * direction
            next_value, next_gradient = function(there)
            if next_value <= value + _LEAST_FALL * share * slope or share < _SHORTEST:
                break
            share *= 0.5
        moved, bent = there - here, next_gradient - gradient
        if moved @ bent > 0.0:
            moves = [*moves[1 - _MEMORY :], (moved, bent)]
        here, value, gradient = there, next_value, next_gradient
    return here


def _newton_like(gradient: Doubles, moves: Sequence[tuple[Doubles, Doubles]]) -> Doubles:
    """Multiply a gradient by the inverse of the Hessian that the last moves let guess."""
    answer, shares = gradient.copy(), []
    for moved, bent in reversed(moves):
        shares.append(float(moved @ answer) / float(moved @ bent))
        answer -= shares[-1] * bent
    if moves:
        moved, bent = moves[-1]
        answer *= float(moved @ bent) / float(bent @ bent)
    else:
        answer /= max(float(np.linalg.norm(gradient)), 1e-12)
    for (moved, bent), share in zip(moves, reversed(shares), strict=True):
        answer += (share - float(bent @ answer) / float(moved @ bent)) * moved
    return answer
