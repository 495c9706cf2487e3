"""Metrics of a run, read from what its command has written.

`read_all` and `MetricsFollower` read every source; there is one module for each format.
"""

from flows.metrics.jsonl import parse_line, read_points, read_series
from flows.metrics.log import summary_from_log
from flows.metrics.primary import contract_metric, primary_metric
from flows.metrics.read import MetricsFollower, read_all, run_metrics
from flows.metrics.series import best_value, downsample, last_values, number, series
from flows.metrics.sources import claim_sources
from flows.models.metrics import MetricSource, RunMetrics, SourceKind

__all__ = [
    "MetricSource",
    "MetricsFollower",
    "RunMetrics",
    "SourceKind",
    "best_value",
    "claim_sources",
    "contract_metric",
    "downsample",
    "last_values",
    "number",
    "parse_line",
    "primary_metric",
    "read_all",
    "read_points",
    "read_series",
    "run_metrics",
    "series",
    "summary_from_log",
]
