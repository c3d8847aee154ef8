"""Tables of results as CSV files, in which a newer row takes the place of its predecessor."""

from pathlib import Path
from typing import Dict, Iterable

import pandas as pd
from filelock import FileLock

RUN = ('setting', 'arm', 'seed')
MEASURED = ('score', 'cls', 'dist', 'patch', 'average', 'agreement')
VERSIONS = ('python', 'torch', 'mmpretrain', 'mmrazor', 'mmcskd')
ORIGIN = ('config', 'teacher', 'seconds', *VERSIONS)
# Of each table the columns that name a row, and the others.
TABLES = dict(
    runs=(RUN, ('options', 'epochs', *MEASURED, *ORIGIN)),
    curves=((*RUN, 'epoch'), MEASURED),
    tuning=(('setting', 'arm', 'options', 'seed'), ('score', *ORIGIN)),
    learnt=((*RUN, 'measure', 'level'), ('value', *ORIGIN)),
    fused=(('setting', 'mixed', 'fusion_weight'), ('accuracy', *ORIGIN)),
)
# A digest may look like a number. What is not measured, and the epochs of a teacher, are left out.
TYPES = {
    **dict.fromkeys(
        ('setting', 'arm', 'options', 'measure', 'config', 'teacher', *VERSIONS), 'string'
    ),
    **dict.fromkeys(('seed', 'epoch', 'epochs', 'level', 'mixed', 'seconds'), 'Int64'),
    **dict.fromkeys((*MEASURED, 'fusion_weight', 'accuracy', 'value'), 'Float64'),
}


class Table:
    """One of ``TABLES``, which several processes may read and write at a time.

    Args:
        folder (Path): Where the CSV file lies, or will.
        name (str): Of the table.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = Path(folder) / f'{name}.csv'
        self.keys, others = map(list, TABLES[name])
        self.columns = self.keys + others

    def read(self, **wanted) -> pd.DataFrame:
        """Rows with these values.

        Raises:
            ValueError: If the file has other columns.
        """
        table = pd.DataFrame(columns=self.columns)
        if self.path.is_file():
            table = pd.read_csv(self.path, dtype=TYPES)
        if list(table.columns) != self.columns:
            raise ValueError(
                f'{self.path} has the columns {list(table.columns)}, expected {self.columns}: '
                'move it aside.'
            )
        return _having(self._typed(table), wanted)

    def put(self, rows: Iterable[dict], instead: Dict[str, object] = None) -> None:
        """Add rows or replace those of the same name, and write the file whole or not at all.

        Args:
            rows (Iterable[dict]): By column; one that is left out is empty.
            instead (dict, optional): Take all rows with these values out first. Defaults to None.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name('.lock')):
            table = self.read()
            if instead:
                table = table.drop(_having(table, instead).index)
            table = pd.concat([table, self._typed(pd.DataFrame(rows, columns=self.columns))])
            # In order, so that what changes between two versions of the file is what was run.
            table = table.drop_duplicates(self.keys, keep='last').sort_values(self.keys)
            partial = self.path.with_suffix('.partial')
            table.to_csv(partial, index=False, float_format='%.6g')
            partial.replace(self.path)

    def _typed(self, table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: TYPES[column] for column in self.columns})
        return table.fillna({'options': ''}).reset_index(drop=True)


def _having(table: pd.DataFrame, wanted: Dict[str, object]) -> pd.DataFrame:
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table
