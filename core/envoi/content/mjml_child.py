"""Compiles one MJML document from stdin to stdout; run as a child, so that only it can die."""

import json
import resource
import sys

import mjml

MEMORY = 1024 * 1024 * 1024
SECONDS = 5


def main() -> None:
    """Answer with `{"html": ...}` or `{"error": ...}`."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source = sys.stdin.buffer.read().decode()
    try:
        # Without fonts of its own the compiler makes readers' machines ask a font service.
        answer = {"html": mjml.mjml2html(source, fonts={})}
    except ValueError as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
