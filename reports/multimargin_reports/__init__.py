"""Reports of conformance runs: the model, and one writer a format."""

from __future__ import annotations

from multimargin_reports.jsonfile import ReportFileError, from_json, read, to_json, write
from multimargin_reports.model import Accuracy, Behaviour, Cause, Failure, Report, Verdict

__all__ = [
    "Accuracy",
    "Behaviour",
    "Cause",
    "Failure",
    "Report",
    "ReportFileError",
    "Verdict",
    "from_json",
    "read",
    "to_json",
    "write",
]
