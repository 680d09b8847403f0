"""Connections to Valkey for short questions: who does not answer soon is away."""

from __future__ import annotations

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect_valkey(url: str, seconds: float = 1.0) -> Redis:
    """Connect to Valkey; what takes longer than so many seconds fails, and is not tried again."""
    client: Redis = Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    return client
