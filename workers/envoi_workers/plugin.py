"""What the workers bring to the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoi import hookimpl

if TYPE_CHECKING:
    from dramatiq import Broker


@hookimpl
def register_actors(broker: Broker) -> None:
    """Bring the actors of every kind of work."""
    # Loaded here, so that pages and commands do not load what only workers need.
    from envoi_workers.actors import bind_actors

    bind_actors(broker)
