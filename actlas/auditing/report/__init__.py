"""The report of an audit: what was audited, who leads, how layers and models compare."""

from .page import FIGURES, Written, report

__all__ = ["FIGURES", "Written", "report"]
