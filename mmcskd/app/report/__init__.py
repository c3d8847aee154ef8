"""The report of a distilled run: ``report.html`` and a model card."""

from .report import write_report

__all__ = ['write_report']
