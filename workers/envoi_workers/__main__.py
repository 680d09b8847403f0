"""One worker process: `python -m envoi_workers QUEUE THREADS`."""

from __future__ import annotations

import sys

import structlog

from envoi.errors import EnvoiError
from envoi.logs import configure_logs
from envoi.settings import load_settings
from envoi_workers.main import run_worker


def main() -> int:
    """Work on one queue until SIGTERM; what keeps it from working is said in one line."""
    configure_logs()
    queue, threads = sys.argv[1:]
    try:
        return run_worker(load_settings(), [queue], int(threads))
    except EnvoiError as error:
        structlog.get_logger().error("worker_cannot_work", queue=queue, error=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
