"""Trees of segments: reading, limits, paths of problems."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.errors import ValidationFailedError
from envoi.segments.tree import MAX_NODES, dump, parse, parse_json

LEAF = {"source": "all_customers", "settings": {}}


def group(nodes: Any) -> Any:
    several = st.lists(nodes, min_size=1, max_size=3)
    return st.tuples(st.sampled_from(["all", "any", "not"]), several).map(lambda g: {g[0]: g[1]})


@given(group(st.recursive(st.just(LEAF), group, max_leaves=10)))
def test_a_tree_survives_reading_and_writing(tree: dict[str, Any]) -> None:
    assert dump(parse(tree, max_depth=50)) == tree


@pytest.mark.parametrize(
    ("tree", "path", "words"),
    [
        ([], "", "a JSON object"),
        ({}, "", "one key"),
        ({"all": [], "any": []}, "", "one key"),
        ({"some": []}, "", "one key"),
        ({"all": []}, "", "Add a condition"),
        ({"all": {}}, "", "Add a condition"),
        (LEAF, "", "begins with a group"),
        ({"all": [LEAF, {"any": [LEAF, {"not": []}]}]}, "all.1.any.1", "Add a condition"),
        ({"all": [{"source": 7}]}, "all.0", "must be a text"),
        ({"all": [{"source": "x", "settings": []}]}, "all.0", "an object"),
        ({"all": [{"source": "x", "setings": {}}]}, "all.0", "only"),
        ({"all": [None]}, "all.0", "a JSON object"),
    ],
)
def test_a_problem_names_its_node(tree: Any, path: str, words: str) -> None:
    with pytest.raises(ValidationFailedError, match=words) as caught:
        parse(tree)
    assert [problem.field for problem in caught.value.problems] == [path]


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ValidationFailedError) as caught:
        parse({"all": [None, LEAF, {"any": []}]})
    assert [problem.field for problem in caught.value.problems] == ["all.0", "all.2"]


def test_depth_and_size_are_limited() -> None:
    tree: dict[str, Any] = {"all": [LEAF]}
    for _ in range(10):
        tree = {"all": [tree]}
    with pytest.raises(ValidationFailedError, match="at most 10 deep"):
        parse(tree)
    with pytest.raises(ValidationFailedError, match="at most 200"):
        parse({"all": [LEAF] * MAX_NODES})
    assert len(parse({"all": [LEAF] * (MAX_NODES - 1)}).nodes) == MAX_NODES - 1


@pytest.mark.parametrize("text", ["", "{", '{"all": [1e999, NaN', "[" * 100_000, '{"all":' * 9_000])
def test_broken_json_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailedError, match="no JSON"):
        parse_json(text)
