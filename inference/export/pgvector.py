"""Codes into a table of PostgreSQL with pgvector: `id` text, `code` bit(K).

    SELECT id, code <~> B'0110...' AS distance FROM videos ORDER BY distance LIMIT 10
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from inference.code_set import CodeSet, refuse_unknown
from inference.export import describe, not_there
from utils.errors import UserError

if TYPE_CHECKING:
    from psycopg import Connection


class Engine:
    """A PostgreSQL server with the extension pgvector; `where` is a connection string of libpq."""

    NEEDS: ClassVar = "'psycopg[binary]'"
    INDEXES: ClassVar = {"none": None, "hnsw": "CREATE INDEX ON {table} USING hnsw (code bit_hamming_ops)"}

    def store(self, codes: CodeSet, where: str, name: str, index: str, *, replace: bool, partitions: int = 1) -> None:
        """Stores `codes` in one transaction: a table that is replaced stays until the new one is complete.

        Several `partitions`, called `name`_0 and so on, share the ids by their hash; each has an index of its own, and
        the server searches them as one table.
        """
        import psycopg
        from psycopg.sql import SQL, Identifier, Literal

        table = Identifier(*name.split("."))
        with _told_in_a_line(name), psycopg.connect(where) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            if _exists(connection, name):
                if not replace:
                    raise UserError(f"{name}: this table exists already. Name another, or discard it with --replace.")
                connection.execute(SQL("DROP TABLE {}").format(table))
            by_hash = SQL("PARTITION BY HASH (id)" if partitions > 1 else "")
            connection.execute(SQL("CREATE TABLE {} (id text PRIMARY KEY, code bit({}) NOT NULL) {}")
                               .format(table, Literal(codes.num_bits), by_hash))
            for number in range(partitions if partitions > 1 else 0):
                part = Identifier(*f"{name}_{number}".split("."))
                connection.execute(SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES WITH (MODULUS {}, REMAINDER {})")
                                   .format(part, table, Literal(partitions), Literal(number)))
            connection.execute(SQL("COMMENT ON TABLE {} IS {}").format(table, Literal(describe(codes))))
            _copy(connection, SQL("COPY {} (id, code) FROM STDIN (FORMAT BINARY)").format(table), codes)
            if statement := self.INDEXES[index]:
                connection.execute(SQL(statement).format(table=table))

    def upsert(self, codes: CodeSet, where: str, name: str, check: Callable[[str], None]) -> None:
        """All codes or none."""
        import psycopg
        from psycopg.sql import SQL, Literal

        with _told_in_a_line(name), psycopg.connect(where) as connection:
            table = _existing(connection, name)
            (description,), = connection.execute("SELECT coalesce(obj_description(%s::regclass), '')",
                                                 (table.as_string(connection),)).fetchall()
            check(description)
            connection.execute(SQL("CREATE TEMP TABLE incoming (id text, code bit({})) ON COMMIT DROP")
                               .format(Literal(codes.num_bits)))
            _copy(connection, SQL("COPY incoming (id, code) FROM STDIN (FORMAT BINARY)"), codes)
            connection.execute(SQL("INSERT INTO {} (id, code) SELECT id, code FROM incoming "
                                   "ON CONFLICT (id) DO UPDATE SET code = excluded.code").format(table))

    def delete(self, ids: Sequence[str], where: str, name: str) -> None:
        """All of them or none."""
        import psycopg
        from psycopg.sql import SQL

        with _told_in_a_line(name), psycopg.connect(where) as connection:
            gone = connection.execute(SQL("DELETE FROM {} WHERE id = ANY(%s) RETURNING id").format(
                _existing(connection, name)), (list(ids),)).fetchall()
            refuse_unknown(ids, {item for item, in gone}, name)


def _copy(connection: "Connection", statement: Any, codes: CodeSet) -> None:
    """Streams the rows. On the wire a bit string is its length, then its bits as `inference.codes.pack` lays them."""
    from psycopg.adapt import Dumper
    from psycopg.pq import Format

    bit = connection.adapters.types["bit"].oid
    length = codes.num_bits.to_bytes(4, "big")

    class BitDumper(Dumper):
        oid, format = bit, Format.BINARY

        def dump(self, obj: bytes) -> bytes:
            return length + obj

    connection.adapters.register_dumper(None, BitDumper)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["text", "bit"])
        for item, bits in zip(codes.ids, codes.bits, strict=True):
            copy.write_row((item, bits.tobytes()))


def _existing(connection: "Connection", name: str) -> Any:
    """The name of the table in SQL. Raises UserError where there is none."""
    from psycopg.sql import Identifier

    if not _exists(connection, name):
        raise not_there(name)
    return Identifier(*name.split("."))


def _exists(connection: "Connection", name: str) -> bool:
    from psycopg.sql import Identifier

    quoted = Identifier(*name.split(".")).as_string(connection)
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (quoted,)).fetchone()
    return row is not None and row[0]


@contextmanager
def _told_in_a_line(name: str) -> Iterator[None]:
    """Turns what psycopg and the server raise into a UserError."""
    import psycopg

    try:
        yield
    except UserError:
        raise
    except (psycopg.Error, ValueError) as error:
        raise UserError(f"{name}: not written ({' '.join(str(error).split())}). The server is named as in "
                        "postgresql://user@host/base.") from error
