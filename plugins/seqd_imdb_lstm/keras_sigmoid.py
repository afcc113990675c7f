"""The sigmoid as TensorFlow computes it, as numbers that each kernel puts into its own code.

Why not simply a better one. TensorFlow's float32 sigmoid is e^(x/2) squared, over one more than
that, with a polynomial of degree 5 for the exponential. It is up to 5e-7 off, in relation to the
true value, and always to the same side at the same x, so the errors of 500 steps add up instead of
cancelling. On the tutorial's network and 5,000 real reviews, `model.predict` is thereby up to
1.4e-5 away from the same sums in double precision. A kernel with a better sigmoid lands on the
true side, 1.3e-5 to 1.9e-5 from Keras, on the one review where the network is in two minds; with
this one all reviews are within 2e-6 of Keras. What was trained and measured is Keras's network,
so Keras is what a kernel agrees with.

Constants are rounded to float32 where they are used. Called by `packed_numpy` and
`packed_compiled`, both of which hand in x/2: the half is folded into the weights.
"""

from typing import Final

#: x/2 is kept in this range: above, the sigmoid is 1 in float32; below, e^(x/2) would leave the
#: float32 numbers, and its square, 1e-38, is 0 to any gate.
LOWEST: Final = -43.5
HIGHEST: Final = 8.3177662

#: e^y is 2^m e^r, where m is the whole number nearest to y / ln 2, and r = y - m ln 2.
LOG2_E: Final = 1.44269504088896341
#: ln 2 in two parts, the first with so few digits that its product with m is exact.
LN2_HIGH: Final = 0.693359375
LN2_LOW: Final = -2.12194440e-4
#: Adding 1.5 · 2^23 leaves the nearest whole number in the low bits of a float32.
ROUND: Final = 12_582_912.0

#: e^r is about 1 + r + r² (E2 + E3 r + E4 r² + E5 r³), TensorFlow's coefficients.
E2: Final = 0.49999141693115234375
E3: Final = 0.16666877269744873046875
E4: Final = 4.1898667812347412109375e-2
E5: Final = 8.33471305668354034423828125e-3

#: The bits of a float32: 23 of mantissa, and an exponent that is 127 for 2^0.
MANTISSA_BITS: Final = 23
ONE_AS_BITS: Final = 127 << MANTISSA_BITS
