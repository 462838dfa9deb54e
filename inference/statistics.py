"""How well a set of codes uses its bits. N items, K bits."""

import numpy as np

from inference.codes import pack, unpack


def code_statistics(code: np.ndarray) -> dict[str, float | int]:
    """Statistics of +-1 codes (N, K), N >= 1.

    Returns:
        `bit_entropy`: mean over the bits of the entropy of each, in bits (1 = balanced);
        `dead_bits`: bits that are the same for all items;
        `bit_correlation`: mean absolute Pearson correlation over pairs of different bits (0 = uncorrelated);
            pairs with a dead bit have none and are left out, and without any pair it is 0;
        `distinct_codes`: different codes among the N.

    Raises:
        ValueError: the codes are empty, or hold other values than -1 and +1.
    """
    bits = pack(code)
    if not np.size(code):
        raise ValueError(f"there are no codes to describe: their shape is {np.shape(code)}.")
    ones = (np.asarray(code) > 0).mean(axis=0)
    alive = (ones > 0) & (ones < 1)
    p = ones[alive]
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)).sum() / len(ones)
    return {
        "bit_entropy": float(entropy),
        "dead_bits": int((~alive).sum()),
        "bit_correlation": _mean_correlation(np.asarray(code)[:, alive]),
        "distinct_codes": len(np.unique(bits, axis=0)),
    }


def bit_correlation(code: np.ndarray) -> np.ndarray:
    """Pearson correlation of every two bits of +-1 codes (N, K): (K, K) in [-1, 1], NaN where a bit is dead."""
    # Sums of +-1 are exact in float32 up to 2**24 items.
    signs = np.asarray(code).astype(np.float32)
    mean = signs.mean(axis=0, dtype=np.float64)
    covariance = (signs.T @ signs).astype(np.float64) / len(signs) - np.outer(mean, mean)
    deviation = np.sqrt(1 - mean * mean)
    deviation[deviation == 0] = np.nan
    return covariance / np.outer(deviation, deviation)


def code_usage(code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different codes among +-1 codes (N, K), (U, K), the most frequent first, and how often each occurs (U,)."""
    distinct, counts = np.unique(pack(code), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return unpack(distinct[order], np.shape(code)[1]), counts[order]


def _mean_correlation(code: np.ndarray) -> float:
    """Mean absolute off-diagonal correlation of code (N, K') without dead bits; 0 if K' < 2."""
    num_bits = code.shape[1]
    if num_bits < 2:
        return 0.0
    correlation = np.abs(bit_correlation(code))
    return float((correlation.sum() - np.trace(correlation)) / (num_bits * (num_bits - 1)))
