"""The same events in every form that `read_log` takes."""

import gzip

import pyarrow
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet
from datasets import Dataset


class Stand:
    """A frame of another library, known by `to_arrow` as those of polars are."""

    def __init__(self, table):
        self.table = table

    def to_arrow(self):
        return self.table


class Stream:
    """A frame of another library, known by the Arrow stream protocol."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def parquet(table, tmp):
    pyarrow.parquet.write_table(table, tmp / "log.parquet", row_group_size=7)
    return tmp / "log.parquet"


def _folder(table, tmp):
    half = table.num_rows // 2
    (tmp / "parts/deep").mkdir(parents=True)
    pyarrow.parquet.write_table(table[:half], tmp / "parts/a.parquet")
    pyarrow.parquet.write_table(table[half:], tmp / "parts/deep/b.parquet")
    (tmp / "parts/_SUCCESS").write_text("")
    return tmp / "parts"


def text(suffix, delimiter, packed=False):
    def write(table, tmp):
        path = tmp / f"log{suffix}"
        options = pyarrow.csv.WriteOptions(delimiter=delimiter, quoting_style="needed")
        pyarrow.csv.write_csv(table, path, options)
        if not packed:
            return str(path)
        packed_path = tmp / f"log{suffix}.gz"
        packed_path.write_bytes(gzip.compress(path.read_bytes()))
        return packed_path

    return write


def _inter(table, tmp):
    types = {"user_id": "token", "item_id": "token"}
    named = [f"{n}:{types.get(n, 'float')}" for n in table.column_names]
    return text(".inter", "\t")(table.rename_columns(named), tmp)


def _batches(table):
    return table.to_batches(max_chunksize=5)


FORMS = {
    "parquet": parquet,
    "folder": _folder,
    "csv": text(".csv", ","),
    "csv.gz": text(".csv", ",", packed=True),
    "tsv": text(".tsv", "\t"),
    "inter": _inter,
    "table": lambda table, _: table,
    "chunked table": lambda table, _: pyarrow.Table.from_batches(_batches(table)),
    "one batch": lambda table, _: table.combine_chunks().to_batches()[0],
    "reader": lambda table, _: table.to_reader(max_chunksize=5),
    "iterator of batches": lambda table, _: iter(_batches(table)),
    "list of batches": lambda table, _: _batches(table),
    "dataset": lambda table, tmp: pyarrow.dataset.dataset(_folder(table, tmp)),
    "dataset in memory": lambda table, _: pyarrow.dataset.dataset(table),
    "filtered dataset": lambda table, tmp: pyarrow.dataset.dataset(
        parquet(table, tmp)
    ).filter(pyarrow.dataset.field("rating") >= 0),
    "pandas": lambda table, _: table.to_pandas(),
    "pandas categories": lambda table, _: table.to_pandas().astype(
        {"user_id": "category", "item_id": "category"}
    ),
    "to_arrow": lambda table, _: Stand(table),
    "stream": lambda table, _: Stream(table),
    "hf": lambda table, _: Dataset(table),
    "list of dicts": lambda table, _: table.to_pylist(),
    "dictionaries": lambda table, _: table.set_column(
        0, "user_id", table.column(0).dictionary_encode()
    ),
}

SOURCES = {
    "numbers": [(3, 70, 5, 10), (1, 70, 2, 11), (3, 5, 0, 12), (-2, 9, 4, 9)] * 5
    + [(i % 7, i % 5, i % 4, i) for i in range(30)],
    "hashes": [(2**63 + i % 5, 2**64 - 1 - i % 3, 4, i) for i in range(20)]
    + [(1, 2, 3, 4)],
    "texts": [(f"u{i % 6}", f"é,{i % 4} b", i % 3, i) for i in range(25)],
}
