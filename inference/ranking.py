"""Hamming distances and rankings. N database items, Q queries, q a block of queries, K bits.

Between +-1 codes a distance is the Hamming distance, 0..K. As soon as a code holds zeros (tied bits kept
as in the S5VH release) it is K - query . item, 0..2K: twice the release's half-integer distance, which
ranks alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from inference import nearest_codes
from inference.codes import is_binary, pack

_BYTES_PER_PAIR = 64  # of one query and one item, in `nearest` at its worst: all items at the same distance


def hamming(query_bits: np.ndarray, database_bits: np.ndarray, *, memory_limit: int = 2**20) -> np.ndarray:
    """Hamming distances (q, N) of packed codes: uint8 up to 31 bytes per code, else uint16.

    Args:
        query_bits, database_bits: uint8 (q, bytes) and (N, bytes), from `inference.codes.pack`.
        memory_limit: bytes for the intermediate words beside the result (at least one query's are held).
            The default keeps them in a core's cache, which is faster than more.

    Raises:
        ValueError: the codes have different widths, or more bits than uint16 counts.
    """
    query_bits, database_bits = np.asarray(query_bits), np.asarray(database_bits)
    if query_bits.shape[1] != database_bits.shape[1]:
        raise ValueError(f"query codes have {query_bits.shape[1]} bytes, "
                         f"database codes {database_bits.shape[1]}.")
    _refuse_overflow(8 * query_bits.shape[1] - 7)
    query, database = _words(query_bits), _words(database_bits)
    dtype = np.uint8 if query_bits.shape[1] <= 31 else np.uint16
    distances = np.empty((len(query), len(database)), dtype)
    num_rows = max(1, memory_limit // (2 * query.itemsize * max(1, len(database))))
    for start in range(0, len(query), num_rows):
        rows = slice(start, start + num_rows)
        np.bitwise_count(query[rows, None, 0] ^ database[None, :, 0], out=distances[rows])
        for word in range(1, query.shape[1]):
            distances[rows] += np.bitwise_count(query[rows, None, word] ^ database[None, :, word])
    return distances


def hamming_reference(query_code: np.ndarray, database_code: np.ndarray) -> np.ndarray:
    """Hamming distances (q, N) of +-1 codes by their definition, (K - code . code^T) / 2."""
    num_bits = query_code.shape[1]
    return (num_bits - query_code.astype(int) @ database_code.astype(int).T) // 2


def doubled_distances(query_codes: np.ndarray, database_codes: np.ndarray) -> np.ndarray:
    """K - query . item, uint16 (q, N) in 0..2K, of codes in {-1, 0, +1}; holds one float32 (q, N) besides.

    Raises:
        ValueError: 2K is more than uint16 counts.
    """
    num_bits = query_codes.shape[1]
    _refuse_overflow(2 * num_bits)
    # float32 products of small integers are exact below 2**24.
    dot = query_codes.astype(np.float32) @ database_codes.astype(np.float32).T
    return np.subtract(num_bits, dot, out=dot).astype(np.uint16)


def _refuse_overflow(most: int) -> None:
    if most > np.iinfo(np.uint16).max:
        raise ValueError(f"distances up to {most} are more than 65535, the most that is counted here.")


def iterate_blocks(query_codes: np.ndarray, database_codes: np.ndarray,
                   num_rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """(first query, distances (<= num_rows, N)) pairs that cover all queries in order.

    Args:
        query_codes, database_codes: int8 (Q, K) and (N, K), values -1 and +1, or with zeros.

    Raises:
        ValueError: the codes are not 2-D, differ in K, hold other values, or are longer than uint16 counts.
    """
    query_codes, database_codes = check_codes(query_codes), check_codes(database_codes)
    if query_codes.shape[1] != database_codes.shape[1]:
        raise ValueError(f"query codes have {query_codes.shape[1]} bits, "
                         f"database codes {database_codes.shape[1]}.")
    _refuse_overflow(query_codes.shape[1])
    packed = levels_per_bit(query_codes, database_codes) == 1
    if packed:
        query_codes, database_codes = pack(query_codes), pack(database_codes)
    for start in range(0, len(query_codes), num_rows):
        block = query_codes[start:start + num_rows]
        yield start, (hamming if packed else doubled_distances)(block, database_codes)


def levels_per_bit(query_codes: np.ndarray, database_codes: np.ndarray) -> int:
    """What the distances of `iterate_blocks` count per bit: 1, or 2 where codes hold zeros."""
    return 1 if is_binary(np.asarray(query_codes)) and is_binary(np.asarray(database_codes)) else 2


def check_codes(codes: np.ndarray) -> np.ndarray:
    """`codes` as an array. Raises ValueError unless it is (N, K) with values in {-1, 0, +1} and K >= 1."""
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] == 0:
        raise ValueError(f"codes have shape (N, K), not {codes.shape}.")
    if not ((codes == 1) | (codes == -1) | (codes == 0)).all():
        raise ValueError("codes hold -1, +1 and (for tied bits) 0 only; take them from inference.codes.")
    return codes


@dataclass(frozen=True)
class Nearest:
    """Per query, every item no farther than its k-th nearest: whole tie groups, so often more than k.

    `queries`, `items` (M,): pairs in the order of (query, distance, database index).
    `groups` (M,): query * num_levels + distance, the tie group that each pair belongs to.
    `sizes` (q, num_levels): how many of all N items lie at each distance.
    """

    queries: np.ndarray
    items: np.ndarray
    groups: np.ndarray
    sizes: np.ndarray

    def first(self, k: int) -> np.ndarray:
        """Positions (q, min(k, N)) in the pair arrays of each query's k nearest, ties by database index."""
        starts = np.searchsorted(self.queries, np.arange(len(self.sizes)))
        return starts[:, None] + np.arange(min(k, self.sizes[0].sum()))


def nearest(distances: np.ndarray, k: int) -> Nearest:
    """The `Nearest` of distances (q, N), small unsigned integers, for k >= 1 (k > N counts as N).

    No sort over all N: a histogram of each row finds the k-th distance, and only pairs within it are sorted.
    """
    num_queries, num_items = distances.shape
    num_levels = int(distances.max()) + 1
    sizes = np.stack([np.bincount(row, minlength=num_levels) for row in distances])
    reach = (sizes.cumsum(axis=1) >= min(k, num_items)).argmax(axis=1)
    queries, items = np.nonzero(distances <= reach.astype(distances.dtype)[:, None])
    groups = queries * num_levels + distances[queries, items]
    # numpy sorts 16-bit keys by radix, several times faster; the pairs come by (query, index), so stable
    # sorting by group leaves ties in index order.
    order = groups.astype(np.min_scalar_type(num_queries * num_levels)).argsort(kind="stable")
    return Nearest(queries, items[order], groups[order], sizes)


def rank_by_index(distances: np.ndarray, k: int) -> np.ndarray:
    """Ids (q, min(k, N)) of the k nearest items of each row of `distances` (q, N), ties by database index."""
    found = nearest(distances, k)
    return found.items[found.first(k)]


def top_k(query_bits: np.ndarray, database_bits: np.ndarray, k: int, *,
          memory_limit: int = 2**26) -> tuple[np.ndarray, np.ndarray]:
    """Items (Q, min(k, N)) int64 and distances, uint16 of the same shape, of each query's k nearest codes.

    Exact; nearest first, ties by database index. By the compiled search where there is one.

    Args:
        query_bits, database_bits: uint8 (Q, bytes) and (N, bytes), from `inference.codes.pack`.
        memory_limit: bytes to work in, beside the result; what k items of one query take is held in any case.

    Raises:
        ValueError: k < 1, or the codes have different widths.
    """
    if k < 1:
        raise ValueError(f"k is at least 1, not {k}.")
    num_queries, num_items = len(query_bits), len(database_bits)
    same_width = query_bits.shape[1] == database_bits.shape[1]
    if same_width and nearest_codes.supports(query_bits.shape[1], num_items, min(k, num_items)) \
            and nearest_codes.unavailable() is None:
        return nearest_codes.nearest_items(query_bits, database_bits, min(k, num_items))
    width = min(num_items, max(k, memory_limit // _BYTES_PER_PAIR))
    num_rows = max(1, memory_limit // (_BYTES_PER_PAIR * max(1, width)))
    items = np.empty((num_queries, min(k, num_items)), np.int64)
    distances = np.empty(items.shape, np.uint16)
    for start in range(0, num_queries, num_rows):
        rows = slice(start, start + num_rows)
        items[rows], distances[rows] = _top_k_by_parts(query_bits[rows], database_bits, k, width)
    return items, distances


def _top_k_by_parts(query_bits: np.ndarray, database_bits: np.ndarray, k: int,
                    width: int) -> tuple[np.ndarray, np.ndarray]:
    """`top_k` that looks at `width` database codes at a time."""
    shape = len(query_bits), 0
    items, distances = np.empty(shape, np.int64), np.empty(shape, np.uint16)
    for start in range(0, len(database_bits), max(1, width)):
        part = hamming(query_bits, database_bits[start:start + width])
        best = rank_by_index(part, k)
        # what was found before stands first, so that ties stay in database order
        items = np.concatenate([items, start + best], axis=1)
        distances = np.concatenate([distances, np.take_along_axis(part, best, axis=1)], axis=1)
        best = rank_by_index(distances, k)
        items, distances = np.take_along_axis(items, best, axis=1), np.take_along_axis(distances, best, axis=1)
    return items, distances


def _words(bits: np.ndarray) -> np.ndarray:
    """`bits` (N, bytes) seen as the widest unsigned words that fit, zero-padded: uint64 from 5 bytes on."""
    num_bytes = bits.shape[1]
    width = min(8, 1 << (num_bytes - 1).bit_length())
    padded = np.zeros((len(bits), -(-num_bytes // width) * width), np.uint8)
    padded[:, :num_bytes] = bits
    return padded.view(f"u{width}")
