"""From data to pixels, with ticks at round numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] to [start, end] pixels, linearly or by the logarithm; `ticks` lie within it."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def __call__(self, value):
        """The pixels of a number or an array."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = np.log10(value), math.log10(low), math.log10(high)
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def linear(values: Iterable[float], start: float, end: float, *, zero: bool = False, most: int = 6) -> Scale:
    """A scale over the finite `values`, widened to round ends, with at most `most` + 1 ticks.

    `zero`: it holds 0. Ticks are whole where all values are. Without any finite value it is 0..1.
    """
    finite = [float(value) for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= 1e-9 * abs(high):
        # A constant: one step about it, or what starts at zero in a curve of zeros.
        room = abs(high) / 2 or 1.0
        low, high = low - (0 if zero and low >= 0 else room), high + room
    whole = all(value.is_integer() for value in finite)
    step = _round_step((high - low) / most, (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10))
    step = max(1.0, step) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Scale(first * step, last * step, start, end, tuple(i * step for i in range(first, last + 1)))


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """A logarithmic scale over [low, high], 0 < low < high, with a tick at every power of ten within."""
    powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    return Scale(low, high, start, end, tuple(10.0 ** power for power in powers), log=True)


def label(value: float) -> str:
    """A number as an axis shows it: 0.05, 2,000, 2e-5."""
    if value and abs(value) < 1e-4:
        mantissa, power = f"{value:.1e}".split("e")
        return f"{float(mantissa):g}e{int(power)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"


def _round_step(least: float, digits: Iterable[float]) -> float:
    """The smallest of `digits`, from 1 to 10, times a power of ten that is no less than `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(digit * power for digit in digits if digit * power >= least * (1 - 1e-9))
