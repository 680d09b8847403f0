"""One worker process: `python -m envoi_workers QUEUE THREADS`."""

from __future__ import annotations

import sys

from envoi.logs import configure_logs
from envoi.settings import load_settings
from envoi_workers.main import run_worker


def main() -> int:
    """Work on one queue until SIGTERM."""
    configure_logs()
    queue, threads = sys.argv[1:]
    return run_worker(load_settings(), [queue], int(threads))


if __name__ == "__main__":
    sys.exit(main())
