"""Codes in the plane by t-SNE (van der Maaten & Hinton, JMLR 2008). n codes, K bits."""

import numpy as np

MOST_POINTS = 2000
_LEAST_POINTS = 5
_PERPLEXITY = 30


def embed(code: np.ndarray, *, seed: int) -> np.ndarray | None:
    """Places (n, 2) of +-1 codes (n, K); None for fewer than five codes or two different ones.

    Squared Euclidean distances of +-1 codes are four times their Hamming distances. It starts from the two leading
    principal components, which keeps the global arrangement (Kobak & Linderman, Nature Biotechnology 2021), with a
    little noise, so that equal codes do not stay on one point.
    """
    if len(code) < _LEAST_POINTS or (code == code[0]).all():
        return None
    from sklearn.manifold import TSNE  # a second of import that nothing else here needs

    centered = code - code.mean(axis=0)
    _, directions = np.linalg.eigh(centered.T @ centered)
    start = np.zeros((len(code), 2))
    leading = centered @ directions[:, :-3:-1]
    start[:, :leading.shape[1]] = leading
    start += np.random.default_rng(seed).normal(scale=0.01, size=start.shape)
    start *= 1e-4 / start[:, 0].std()
    perplexity = min(_PERPLEXITY, (len(code) - 1) / 3)
    return TSNE(perplexity=perplexity, init=start.astype(np.float32), random_state=seed).fit_transform(
        code.astype(np.float32))
