"""What is no source of events is refused; a damaged file by its row group."""

import numpy as np
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from datasets import Dataset, DatasetDict, IterableDataset

from multidd.errors import CorruptFileError
from multidd.recsys.data.readers import read_log
from tests.recsys.logs import same

# --- sources ------------------------------------------------------------------


@pytest.mark.parametrize(
    "source, message",
    [
        (3, "events must be a path, a pandas or polars frame, .* got int"),
        (None, "got NoneType"),
        ({"user": [1]}, "got dict"),
        (DatasetDict({"train": Dataset.from_dict({"user": [1]})}), r"data\['train'\]"),
        (iter([(1, 2)]), "must give Arrow record batches; got tuple"),
    ],
    ids=["number", "nothing", "dict", "splits", "generator"],
)
def test_other_objects(source, message):
    with pytest.raises(TypeError, match=message):
        read_log(source)


def test_a_stream_of_unknown_columns():
    stream = IterableDataset.from_generator(lambda: iter([{"user": 1, "item": 2}]))
    with pytest.raises(TypeError, match="the stream's columns are not known; load it"):
        read_log(stream)


def test_a_lazy_frame_is_not_collected_for_you():
    class Lazy:
        def collect(self):
            raise AssertionError("collected")

        collect_schema = collect

    with pytest.raises(TypeError, match="pass frame.collect()"):
        read_log(Lazy())


@pytest.mark.parametrize(
    "rows, message",
    [
        ([(1,)], "got rows of 1 values"),
        ([(1, 2), (1, 2, 3)], "got rows of 2, 3 values"),
        ([1, 2], "got rows of 1 values"),
        (np.zeros(3), r"got an array of shape \[3\]"),
        (np.zeros((2, 5)), r"got an array of shape \[2, 5\]"),
    ],
)
def test_rows_of_other_lengths(rows, message):
    with pytest.raises(ValueError, match=f"rows of events must all be .*{message}"):
        read_log(rows)


def test_paths_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder .*nowhere.parquet"):
        read_log(tmp_path / "nowhere.parquet")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ValueError, match="x.json is none of .parquet, .csv"):
        read_log(tmp_path / "x.json")
    with pytest.raises(ValueError, match="holds no .parquet file"):
        read_log(tmp_path)


# --- damaged files ------------------------------------------------------------


def write(path, *, checksums=False, codec="snappy"):
    """Four row groups of 500 rows."""
    rng = np.random.default_rng(0)
    ids = {"user": rng.integers(300, size=2000), "item": rng.integers(200, size=2000)}
    pyarrow.parquet.write_table(
        pyarrow.table(ids),
        path,
        row_group_size=500,
        compression=codec,
        write_page_checksum=checksums,
        use_dictionary=False,
    )
    return pyarrow.parquet.ParquetFile(path).metadata


def damage(path, start, content):
    data = bytearray(path.read_bytes())
    data[start : start + len(content)] = content
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("group", [0, 2, 3])
def test_a_damaged_row_group_is_named(group, tmp_path):
    path = tmp_path / "log.parquet"
    meta = write(path)
    start = meta.row_group(group).column(1).data_page_offset
    damage(path, start, b"\xff" * 40)  # the head of the page
    text = rf"log.parquet is damaged: row group {group} of 4 \(from 0\) cannot be read"
    with pytest.raises(CorruptFileError, match=text):
        read_log(path)
    with pytest.raises(CorruptFileError, match=text):
        read_log(tmp_path)  # the folder
    with pytest.raises(CorruptFileError, match=text):
        read_log(pyarrow.dataset.dataset(path))


def test_a_flipped_bit_is_found_where_there_are_checksums(tmp_path):
    path = tmp_path / "log.parquet"
    meta = write(path, checksums=True, codec="none")
    whole = read_log(path)
    column = meta.row_group(1).column(0)
    middle = column.data_page_offset + column.total_compressed_size // 2
    old = path.read_bytes()
    damage(path, middle, bytes([old[middle] ^ 1]))
    with pytest.raises(CorruptFileError, match="row group 1 of 4"):
        read_log(path)
    path.write_bytes(old)
    assert same(read_log(path), whole)


def test_a_damaged_column_that_is_not_read_is_no_matter(tmp_path):
    path = tmp_path / "log.parquet"
    table = pyarrow.table({"user": [1, 2], "item": [1, 2], "text": ["a" * 500] * 2})
    pyarrow.parquet.write_table(table, path, use_dictionary=False)
    meta = pyarrow.parquet.ParquetFile(path).metadata.row_group(0).column(2)
    damage(path, meta.data_page_offset, b"\xff" * 20)
    assert read_log(path).num_interactions == 2


@pytest.mark.parametrize("content", [b"", b"PAR1", b"user,item\n1,2\n", b"PAR1" * 9])
def test_a_file_that_is_no_parquet(content, tmp_path):
    path = tmp_path / "log.parquet"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="log.parquet cannot be opened as parq"):
        read_log(path)


def test_a_truncated_file_among_others(tmp_path):
    for name in ("a.parquet", "b.parquet"):
        write(tmp_path / name)
    cut = (tmp_path / "b.parquet").read_bytes()[:-100]
    (tmp_path / "b.parquet").write_bytes(cut)
    with pytest.raises(CorruptFileError, match="b.parquet cannot be opened"):
        read_log(tmp_path)


def test_text_with_a_row_too_short(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user,item\n1,2\n3\n")
    with pytest.raises(ValueError, match="log.csv cannot be read as .csv text: .*2 c"):
        read_log(path)


def test_text_that_is_not_packed(tmp_path):
    path = tmp_path / "log.csv.gz"
    path.write_text("user,item\n1,2\n")
    with pytest.raises(ValueError, match="log.csv.gz cannot be read"):
        read_log(path)


def test_text_with_a_quote_that_is_not_closed(tmp_path, monkeypatch):
    monkeypatch.setattr("multidd.recsys.data.sources.CSV_BLOCK", 2**20)
    path = tmp_path / "log.csv"
    path.write_text('user,item\n"1,2\n' + "3,4\n" * 2**19)
    text = "log.csv has a row of more than 1 MB, or a quote that is not closed; mend it"
    with pytest.raises(ValueError, match=text):
        read_log(path)


def test_text_of_another_encoding(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes("user,item\nJosé,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match="log.csv cannot be read"):
        read_log(path)
