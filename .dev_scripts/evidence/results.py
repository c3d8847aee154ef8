"""Tables of results as CSV files, in which a newer row takes the place of its predecessor."""

import csv
import fcntl
import io
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Sequence

from mmcskd.runs.atomic_file import AtomicBackend

Row = Dict[str, str]


class Table:
    """A CSV file of rows that are told apart by some of their columns.

    Args:
        path (Path): The file; it need not exist.
        columns (Sequence[str]): All columns, in their order.
        keys (Sequence[str]): Those that name a row.

    Raises:
        ValueError: If the file has other columns.
    """

    def __init__(self, path: Path, columns: Sequence[str], keys: Sequence[str]) -> None:
        self.path = Path(path)
        self.columns = tuple(columns)
        self.keys = tuple(keys)
        self._rows: Dict[tuple, Row] = {}
        self._read()

    def _read(self) -> None:
        if not self.path.is_file():
            return
        reader = csv.DictReader(io.StringIO(self.path.read_text(encoding='utf-8')))
        if tuple(reader.fieldnames or ()) != self.columns:
            raise ValueError(
                f'{self.path} has the columns {reader.fieldnames}, expected {list(self.columns)}: '
                'move it aside.'
            )
        self._rows = {self._name(row): row for row in reader}

    def _name(self, row: Row) -> tuple:
        return tuple(str(row[key]) for key in self.keys)

    def rows(self, **wanted) -> List[Row]:
        """Rows with these values, all of them as text."""
        wanted = {key: str(value) for key, value in wanted.items()}
        return [r for r in self._rows.values() if all(r[k] == v for k, v in wanted.items())]

    def put(self, rows: Iterable[dict], instead: Optional[Row] = None) -> None:
        """Add rows or replace those of the same name, and write the file whole or not at all.

        What another process has written meanwhile stays.

        Args:
            rows (Iterable[dict]): With a value for each column; numbers are kept to four decimals.
            instead (dict[str, str], optional): Take all rows with these values out first. Defaults
                to None: none.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(self.path.parent):
            self._read()
            for row in self.rows(**instead) if instead else ():
                del self._rows[self._name(row)]
            for row in rows:
                row = {column: _text(row[column]) for column in self.columns}
                self._rows[self._name(row)] = row
            text = io.StringIO()
            writer = csv.DictWriter(text, self.columns, lineterminator='\n')
            writer.writeheader()
            # In order, so that what changes between two versions of the file is what was run.
            writer.writerows(self._rows[name] for name in sorted(self._rows, key=_order))
            AtomicBackend().put_text(text.getvalue(), self.path)


@contextmanager
def _alone(folder: Path):
    """Only one process at a time, of those that ask."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        # Closed alone, it would stay locked by a process that was forked meanwhile, as a pool does.
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _order(name: Sequence[str]) -> list:
    return [(0, float(part), '') if _is_number(part) else (1, 0.0, part) for part in name]


def _is_number(text: str) -> bool:
    return text.replace('.', '', 1).isdigit()


def _text(value) -> str:
    return f'{value:.4f}'.rstrip('0').rstrip('.') if isinstance(value, float) else str(value)


MEASURED = ('score', 'cls', 'dist', 'patch', 'average', 'agreement')
VERSIONS = ('python', 'torch', 'mmpretrain', 'mmrazor', 'mmcskd')
ORIGIN = ('config', 'teacher', 'seconds', *VERSIONS)


def tables(folder: Path) -> Dict[str, Table]:
    """The files of results, by name: ``runs``, ``curves``, ``tuning`` and ``fused``.

    Args:
        folder (Path): Where they lie.
    """
    run = ('setting', 'arm', 'seed')
    return dict(
        runs=Table(folder / 'runs.csv', (*run, 'options', 'epochs', *MEASURED, *ORIGIN), run),
        curves=Table(folder / 'curves.csv', (*run, 'epoch', *MEASURED), (*run, 'epoch')),
        tuning=Table(
            folder / 'tuning.csv',
            ('setting', 'arm', 'options', 'seed', 'score', *ORIGIN),
            ('setting', 'arm', 'options', 'seed'),
        ),
        fused=Table(
            folder / 'fused.csv',
            ('setting', 'mixed', 'fusion_weight', 'accuracy', *ORIGIN),
            ('setting', 'mixed', 'fusion_weight'),
        ),
    )
