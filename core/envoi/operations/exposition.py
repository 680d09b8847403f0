"""Everything that is measured, in Prometheus' text format."""

from __future__ import annotations

from collections import defaultdict

import structlog
from redis.exceptions import RedisError

from envoi.installation import Installation
from envoi.operations import reporter
from envoi.operations.gauges import FOUND, gauges
from envoi.operations.metrics import COUNTED, REPORTED, Metric, Samples
from envoi.valkey import connect_valkey

log = structlog.get_logger()

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METRICS: tuple[Metric, ...] = (*COUNTED, *REPORTED, *FOUND)
"""All there are, in the order in which they are shown and documented."""

_PARTS = ("_bucket", "_sum", "_count")


def samples(installation: Installation) -> Samples:
    """Collect what processes have counted and what is true now; without Valkey only the latter."""
    found = gauges(installation)
    url = installation.settings.redis_url.get_secret_value()
    if not url:
        return found
    try:
        with connect_valkey(url) as client:
            return reporter.totals(client) | reporter.states(client) | found
    except (RedisError, OSError) as error:
        log.warning("metrics_incomplete", error=str(error))
        return found


def expose(found: Samples) -> str:
    """Write samples down; those of no known metric are left out."""
    by_metric: dict[str, list[str]] = defaultdict(list)
    for name in sorted(found, key=_order):
        by_metric[_family(name)].append(f"{name} {found[name]:.17g}\n")
    return "".join(
        f"# HELP {metric.name} {metric.meaning}\n# TYPE {metric.name} {metric.kind}\n"
        + "".join(by_metric[metric.name])
        for metric in METRICS
    )


_HISTOGRAMS = {metric.name for metric in METRICS if metric.kind == "histogram"}


def _family(name: str) -> str:
    """The metric that a sample belongs to."""
    base = name.partition("{")[0]
    for part in _PARTS:
        if base.endswith(part) and base.removesuffix(part) in _HISTOGRAMS:
            return base.removesuffix(part)
    return base


def _order(name: str) -> tuple[str, float]:
    """Buckets by their bounds, everything else by its name."""
    head, found, bound = name.rpartition('le="')
    return (head, float(bound.rstrip('"}'))) if found else (name, 0.0)
