"""Metrics of a run, read from what its command has written.

`read_all` and `MetricsFollower` read every source; there is one module for each format.
"""

from wildloop.flows.metrics.jsonl import parse_line, read_points, read_series
from wildloop.flows.metrics.log import summary_from_log
from wildloop.flows.metrics.primary import plan_metric, primary_metric
from wildloop.flows.metrics.read import MetricsFollower, final_metrics, read_all, run_metrics
from wildloop.flows.metrics.series import best_value, downsample, last_values, number, series
from wildloop.flows.metrics.sources import claim_sources
from wildloop.flows.models.metrics import MetricSource, RunMetrics, SourceKind

__all__ = [
    "MetricSource",
    "MetricsFollower",
    "RunMetrics",
    "SourceKind",
    "best_value",
    "claim_sources",
    "downsample",
    "final_metrics",
    "last_values",
    "number",
    "parse_line",
    "plan_metric",
    "primary_metric",
    "read_all",
    "read_points",
    "read_series",
    "run_metrics",
    "series",
    "summary_from_log",
]
