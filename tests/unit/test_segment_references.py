"""Which segments and target audiences a stored tree names."""

from __future__ import annotations

from typing import Any

from envoi.segments.queries import references


def test_one_and_several_are_found() -> None:
    tree: dict[str, Any] = {
        "all": [
            _audience("in", audience="3"),
            {"not": [_audience("any_of", audiences=["5", "8"])]},
            {"source": "segment", "settings": {"criterion": "segment", "segment": "13"}},
        ]
    }
    assert references(tree, "audience") == {3, 5, 8}
    assert references(tree, "segment") == {13}


def _audience(operator: str, **named: Any) -> dict[str, Any]:
    settings = {"criterion": "audience", "operator": operator, **named}
    return {"source": "audience", "settings": settings}
