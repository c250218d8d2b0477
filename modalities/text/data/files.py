"""Files of texts: parquet, CSV, TSV, JSON lines, and folders of them."""

import csv
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from multidd.data.cells import class_names
from multidd.data.listing import list_files, part_words, suffix_counts
from multidd.data.sources import is_saved, load_saved, part_of
from multidd.data.table_source import (
    Columns,
    TableSource,
    attempt,
    columns_of,
    damaged,
    of_hf,
    of_rows,
)
from multidd.storage.limits import check_regular
from multidd.text.data.tables import PARTS, RawTexts, TextColumns, read_columns

PICKLED = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".bin")
FORMS = ".parquet, .csv, .tsv, .jsonl"
BATCH_ROWS = 2**14  # of a text file, at a time
MAX_CELL_LETTERS = 2**31 - 1  # what the csv module can be asked for everywhere


def read_path(
    path: pathlib.Path, columns: TextColumns, part: str = "train"
) -> RawTexts | None:
    """One part of what a file or folder holds, or None where it lacks that part.

    A file is all training. A folder is one that `save_to_disk` wrote, or holds a file
    for each part: `train.parquet`, `dev.parquet`, `test.parquet`, or other forms, by
    any name that `part_words` knows; a warning names what is left out.

    Args:
        path: of the file or folder.
        columns: which hold texts and labels.
        part: `"train"`, `"val"` or `"test"`; the latter two may lack labels.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: another kind of file, or a column that is not there.
        CorruptFileError: it is not what its name says.

    Example:
        >>> read_path(pathlib.Path("nowhere.csv"), TextColumns())
        Traceback (most recent call last):
        ...
        FileNotFoundError: there is no file or folder nowhere.csv; ...
    """
    table = open_path(path, part)
    if table is None:
        return None
    return read_columns(table, columns, labels_optional=part != "train")


def open_path(path: pathlib.Path, part: str = "train") -> TableSource | None:
    """One part of a file or folder, opened.

    Example:
        >>> _ = pathlib.Path("two.csv").write_text("text,label\\ngood,1\\nbad,0\\n")
        >>> open_path(pathlib.Path("two.csv")).lists(["label"])
        {'label': ['1', '0']}
    """
    if not _is_there(path):
        raise FileNotFoundError(
            f"there is no file or folder {str(path):.80}; give the path of texts "
            f"({FORMS}, or a folder), or texts in a list; benchmarks are read by name "
            "with multidd.text.load"
        )
    if path.is_dir():
        return _in_folder(path, part)
    return _of_file(path) if part == "train" else None


def _is_there(path: pathlib.Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a text that was taken for a path: longer than any name
        return False


def _name(path: pathlib.Path) -> str:
    """What a file is called, unless by the part that it holds."""
    return "" if part_words([path.stem], PARTS) else path.stem


def _of_file(path: pathlib.Path) -> TableSource:
    suffix = path.suffix.lower()
    if suffix in PICKLED:
        raise ValueError(
            f"{path} may hold pickled objects, which are never unpickled: they can run "
            f"code; write the texts as one of {FORMS}"
        )
    if suffix not in OPENERS:
        raise ValueError(
            f"{path} is none of {FORMS}; for other files pass what reads them: a "
            "pandas frame, a datasets.Dataset, or texts and labels"
        )
    check_regular(path)  # a pipe would wait for ever, a device has no end
    return OPENERS[suffix](path)


def _in_folder(folder: pathlib.Path, part: str) -> TableSource | None:
    if is_saved(folder):
        return _of_saved(folder, part)
    listing = list_files(folder)
    inside = [path for path in listing.of_suffix(OPENERS) if path.parent == folder]
    words = part_words({path.stem for path in inside}, PARTS)
    files = [path for path in inside if words.get(path.stem) in PARTS[part]]
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{folder} holds {names} for one part; keep one of them")
    if not files and part == "train":
        raise ValueError(
            f"{folder} holds no texts to train on: no train file ({FORMS}), and "
            "nothing that save_to_disk wrote; give the path of a file; its files are "
            f"{suffix_counts(listing.files) or 'none'}"
        )
    if part == "train":
        read = [path for path in inside if path.stem in words]
        listing.warn(read, f"files called train, val or test ({FORMS})")
    return _of_file(files[0]) if files else None


def _of_saved(folder: pathlib.Path, part: str) -> TableSource | None:
    data = load_saved(folder)
    if not isinstance(data, dict):
        return of_hf(data, str(folder)) if part == "train" else None
    chosen = part_of(data, PARTS[part])
    if chosen is None and part == "train":
        raise ValueError(f"{folder} has no training split; it has {sorted(data)}")
    return None if chosen is None else of_hf(chosen, f"{part} of {folder}")


def _of_parquet(path: pathlib.Path) -> TableSource:
    import pyarrow.parquet

    fault = damaged(f"{path} cannot be read as parquet")

    def read(names: list[str]) -> Iterator[Columns]:
        options: dict[str, Any] = {"page_checksum_verification": True}
        with attempt(
            lambda: pyarrow.parquet.ParquetFile(path, **options), fault
        ) as file:
            table = attempt(lambda: file.read(columns=names), fault)
        yield columns_of(table, names)

    schema = attempt(lambda: pyarrow.parquet.read_schema(path), fault)
    names = tuple(schema.names)
    return TableSource(str(path), names, read, class_names(schema), _name(path))


def _of_delimited(path: pathlib.Path, delimiter: str) -> TableSource:
    """A text file with a header, quoted as spreadsheets and pandas do."""
    (header,) = next(_cells(path, delimiter, count=1), [[]])

    def read(names: list[str]) -> Iterator[Columns]:
        places = {name: header.index(name) for name in names}
        for number, rows in enumerate(_cells(path, delimiter, BATCH_ROWS)):
            # The header is no row; a file of nothing else still has its columns.
            rows = rows if number else rows[1:]
            yield {name: [row[at] for row in rows] for name, at in places.items()}

    return TableSource(
        str(path), tuple(header), read, name=_name(path), numbers_as_text=True
    )


def _cells(path: pathlib.Path, delimiter: str, count: int) -> Iterator[list[list[str]]]:
    """Rows of a text file, so many at a time; the first one is the header."""
    width: int | None = None
    reader: Any = None
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            while True:
                rows: list[list[str]] = []
                with _long_cells():
                    for row in reader:
                        width = len(row) if width is None and row else width
                        if row and len(row) != width:
                            raise csv.Error(f"{len(row)} cells, and {width} columns")
                        rows += [row] if row else []
                        if len(rows) == count:
                            break
                if not rows:
                    break
                yield rows
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}); convert it first") from error
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: {error}; a cell with {delimiter!r}, "
            "quotes or line breaks in it must stand in quotes; pass the frame of a "
            f"reader that takes it: pandas.read_csv(path, sep={delimiter!r}), with "
            "quoting=3 for a file without quoting"
        ) from error
    if width is None:
        raise ValueError(f"{path} is empty; it must begin with the names of columns")


@contextmanager
def _long_cells() -> Iterator[None]:
    """Cells of any length; the limit is the whole process's, and is put back."""
    limit = csv.field_size_limit(MAX_CELL_LETTERS)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _of_json_lines(path: pathlib.Path) -> TableSource:
    rows = [row for batch in _json_rows(path) for row in batch]
    return replace(of_rows(rows, str(path)), name=_name(path))


def open_json_lines(path: pathlib.Path) -> TableSource:
    """A file of JSON lines that is read a batch at a time.

    Its columns are those of the first rows; a row that lacks one is refused when it is
    read.

    Example:
        >>> _ = pathlib.Path("a.jsonl").write_text('{"text": "good", "label": 1}')
        >>> open_json_lines(pathlib.Path("a.jsonl")).names
        ('text', 'label')
    """
    first = of_rows(next(_json_rows(path), []))

    def read(names: list[str]) -> Iterator[Columns]:
        for rows in _json_rows(path):
            yield from of_rows(rows, str(path)).read(names)

    return TableSource(str(path), first.names, read, name=_name(path))


def _json_rows(path: pathlib.Path) -> Iterator[list[Any]]:
    rows: list[Any] = []
    with open(path, encoding="utf-8-sig") as file:
        try:
            for line, text in enumerate(file, 1):
                rows += [_json(path, line, text)] if text.strip() else []
                if len(rows) == BATCH_ROWS:
                    yield rows
                    rows = []
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is not UTF-8 ({error}); convert it first"
            ) from error
    if rows:
        yield rows


def _json(path: pathlib.Path, line: int, text: str) -> Any:
    try:
        row = json.loads(text)
        fault = None if isinstance(row, dict) else f"it is {type(row).__name__}"
    except (ValueError, RecursionError) as error:
        fault = str(error)
    if fault is not None:
        raise ValueError(
            f"{path}, line {line} is no JSON object ({fault}); every line must be one, "
            'such as {"text": "...", "label": 0}'
        )
    return row


OPENERS: Mapping[str, Callable[[pathlib.Path], TableSource]] = {
    ".parquet": _of_parquet,
    ".pq": _of_parquet,
    ".csv": lambda path: _of_delimited(path, ","),
    ".tsv": lambda path: _of_delimited(path, "\t"),
    ".jsonl": _of_json_lines,
}
