"""Codes into a collection of Milvus: `id` VARCHAR, `code` BINARY_VECTOR, compared by HAMMING.

Milvus knows codes of whole bytes only; the last byte is filled up with zeros, which changes no distance.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from inference.code_set import CodeSet, refuse_unknown
from inference.export import describe, not_there
from utils.errors import UserError

if TYPE_CHECKING:
    from pymilvus import MilvusClient

ROWS_PER_CALL = 10_000  # a call may take 64 MiB
INCOMPLETE = "_incomplete"  # ends the name of the collection that marks another
MAX_ID_BYTES = 65_535  # of a VARCHAR


class Engine:
    """A Milvus server (`where` is http://host:port) or Milvus Lite (a path that ends in .db)."""

    NEEDS: ClassVar = "'pymilvus>=2.5,<2.6' (and 'milvus-lite==2.5.1' 'setuptools<81' for a .db file)"
    INDEXES: ClassVar = {"flat": ("BIN_FLAT", {}), "ivf": ("BIN_IVF_FLAT", {"nlist": 1024})}

    def store(self, codes: CodeSet, where: str, name: str, index: str, *, replace: bool, partitions: int = 1) -> None:
        """Stores `codes`. Milvus has no transactions: a collection to replace is dropped before the new one is filled;
        one that could not be filled is dropped again. Until it is filled, an empty collection `name`_incomplete stands
        beside it, which is all that tells it from a whole one after a kill."""
        if partitions > 1:
            raise UserError(f"--partitions {partitions}: Milvus parts a collection by itself. Leave it out.")
        longest = max((len(item.encode()) for item in codes.ids), default=1)
        if longest > MAX_ID_BYTES:
            raise UserError(f"{codes.source}: an id of {longest} bytes; Milvus takes {MAX_ID_BYTES}. Shorten it.")
        with _client(where, name) as client:
            _refuse_to_overwrite(client, name, replace)
            with _marked_incomplete(client, name):
                if client.has_collection(name):
                    client.drop_collection(name)
                with _dropped_on_failure(client, name):
                    _create(client, name, codes, longest, *self.INDEXES[index])
                    _insert(client, name, codes)

    def upsert(self, codes: CodeSet, where: str, name: str, check: Callable[[str], None]) -> None:
        """By parts: what has failed within is told, and may be done again."""
        with _client(where, name) as client:
            _refuse_to_change(client, name, codes.ids)
            check(client.describe_collection(name).get("description", ""))
            for rows in _rows(codes):
                client.upsert(name, rows)

    def delete(self, ids: Sequence[str], where: str, name: str) -> None:
        """Once all of them are known to be there; by parts, which may be done again."""
        with _client(where, name) as client:
            _refuse_to_change(client, name, ids)
            parts = [list(ids[start:start + ROWS_PER_CALL]) for start in range(0, len(ids), ROWS_PER_CALL)]
            there = {row["id"] for part in parts
                     for row in client.get(name, part, output_fields=["id"], consistency_level="Strong")}
            refuse_unknown(ids, there, name)
            for part in parts:
                client.delete(name, part)


@contextmanager
def _client(where: str, name: str) -> Iterator["MilvusClient"]:
    """A connection to `where`; what goes wrong with it, or with the collection `name`, is a UserError."""
    from pymilvus import MilvusClient

    for logger in ("pymilvus", "pymilvus.milvus_client"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # they log what is raised
    with _told_in_a_line(name):
        client = MilvusClient(where)
        try:
            yield client
        finally:
            client.close()


def _refuse_to_change(client: "MilvusClient", name: str, ids: Iterable[str]) -> None:
    if not client.has_collection(name):
        raise not_there(name)
    if client.has_collection(name + INCOMPLETE):
        raise UserError(f"{name}: this collection holds a part of the codes, as an earlier export was cut short. "
                        "Export all of them anew with --replace.")
    odd = next((item for item in ids if not item.isprintable() or set(item) & set("'\"\\")), None)
    if odd is not None:  # pymilvus puts ids as they are into an expression, and Milvus Lite into SQL
        raise UserError(f"{name}: Milvus cannot change an item whose id holds quotes, backslashes or control "
                        f"characters ({odd!a}). Export all codes anew with --replace.")


def _refuse_to_overwrite(client: "MilvusClient", name: str, replace: bool) -> None:
    if replace or not client.has_collection(name):
        return
    if client.has_collection(name + INCOMPLETE):
        raise UserError(f"{name}: this collection holds a part of the codes, as an earlier export was cut short. "
                        "Export them anew with --replace.")
    raise UserError(f"{name}: this collection exists already. Name another, or discard it with --replace.")


@contextmanager
def _marked_incomplete(client: "MilvusClient", name: str) -> Iterator[None]:
    """A block in which the collection that marks `name` is there; it stays where the block does not end, or leaves
    `name` without its rows."""
    from pymilvus import DataType, MilvusException

    mark = name + INCOMPLETE
    if not client.has_collection(mark):
        schema = client.create_schema(description=f"the export into {name} is not complete")
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("code", DataType.BINARY_VECTOR, dim=8)  # a collection without vectors cannot be
        client.create_collection(mark, schema=schema)
    try:
        yield
    except BaseException:
        with suppress(MilvusException):
            if not client.has_collection(name):
                client.drop_collection(mark)
        raise
    client.drop_collection(mark)


def _create(client: "MilvusClient", name: str, codes: CodeSet, longest_id: int, index_type: str,
            parameters: dict[str, Any]) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False, enable_dynamic_field=False, description=describe(codes))
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=max(1, longest_id))
    schema.add_field("code", DataType.BINARY_VECTOR, dim=8 * codes.bits.shape[1])
    index = client.prepare_index_params()
    index.add_index("code", index_type=index_type, metric_type="HAMMING", params=parameters)
    client.create_collection(name, schema=schema, index_params=index)


def _insert(client: "MilvusClient", name: str, codes: CodeSet) -> None:
    for rows in _rows(codes):
        client.insert(name, rows)


def _rows(codes: CodeSet) -> Iterator[list[dict[str, Any]]]:
    """The rows of a collection, as many as a call takes."""
    for start in range(0, len(codes), ROWS_PER_CALL):
        part = slice(start, start + ROWS_PER_CALL)
        yield [{"id": item, "code": bits.tobytes()}
               for item, bits in zip(codes.ids[part], codes.bits[part], strict=True)]


@contextmanager
def _dropped_on_failure(client: "MilvusClient", name: str) -> Iterator[None]:
    from pymilvus import MilvusException

    try:
        yield
    except BaseException:
        with suppress(MilvusException):  # what went wrong first is what counts
            client.drop_collection(name)
        raise


@contextmanager
def _told_in_a_line(name: str) -> Iterator[None]:
    """Turns what pymilvus and the server raise into a UserError."""
    from grpc import RpcError
    from pymilvus import MilvusException

    try:
        yield
    except UserError:
        raise
    except (MilvusException, RpcError, ValueError) as error:
        reason = error.message if isinstance(error, MilvusException) else str(error)
        raise UserError(f"{name}: not written ({' '.join(str(reason).split())}). The server is named as in "
                        "http://host:19530.") from error
