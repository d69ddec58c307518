"""`GET /metrics`: counts and timings for Prometheus, as its plain text, or as OpenMetrics for a client that names it.

Nothing here names a session, a client or an address. A scrape takes no slot of an answer's.
"""

from __future__ import annotations

from flask import Blueprint, Flask, Response, g, request
from werkzeug.datastructures import MIMEAccept

from clawgate.telemetry.metrics import OPENMETRICS, PLAIN, Metrics
from clawgate.web.door.concurrency import ConcurrencyLimit

MAX_SCRAPES = 2
"""The scrapes at a time: those of a pair of Prometheus servers. Each takes some milliseconds."""


class MetricsRoutes:
    """`GET /metrics`."""

    def __init__(self, metrics: Metrics, limit: ConcurrencyLimit) -> None:
        self._metrics = metrics
        self._limit = limit

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/metrics", "metrics", self.metrics)

    def metrics(self) -> Response:
        """Show the counts and timings for Prometheus."""
        content_type = _type_for(request.accept_mimetypes)
        with self._limit.taken():
            exposition = self._metrics.exposition(content_type)
        response = Response(exposition, content_type=content_type)
        response.vary.add("Accept")
        return response


def count_refusals(metrics: Metrics, routes: Blueprint | Flask) -> None:
    """Count the requests to these routes that are answered with an error, those that a check refuses too."""

    def count(response: Response) -> Response:
        if "error_code" in g:
            metrics.note_refusal(g.error_code)
        return response

    routes.after_request(count)


def _type_for(accepted: MIMEAccept) -> str:
    """Choose OpenMetrics for a client that names it, and prefers it; there is no third format.

    Source: RFC 9110, 12.5.1; Prometheus names OpenMetrics first, and text behind it.
    """
    named = {media.partition(";")[0].strip().lower(): quality for media, quality in reversed(list(accepted))}
    wanted = named.get("application/openmetrics-text", 0)
    return OPENMETRICS if wanted and wanted >= named.get("text/plain", 0) else PLAIN
