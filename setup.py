"""What pyproject.toml cannot say: a wheel built twice, anywhere, is the same file."""

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

# The time of every file in the wheel.
os.environ.setdefault('SOURCE_DATE_EPOCH', '946684800')


class BuildPy(build_py):
    """Without the files that an earlier build left."""

    def run(self):
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class BdistWheel(bdist_wheel):
    """With the same permissions whatever the builder's umask."""

    def write_wheelfile(self, *args, **kwargs):
        super().write_wheelfile(*args, **kwargs)
        for path in Path(self.bdist_dir).rglob('*'):
            path.chmod(0o755 if path.is_dir() or path.suffix == '.sh' else 0o644)


setup(cmdclass={'build_py': BuildPy, 'bdist_wheel': BdistWheel})
