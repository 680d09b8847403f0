"""The ledger's states: only the edges of the design, whatever is tried in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envoi.delivery.models import MessageState
from envoi.delivery.states import EDGES, OPEN_STATES, RECIPIENT_STATES, move

STATES = st.sampled_from(MessageState)


@given(STATES, STATES)
def test_only_an_edge_makes_a_statement(before: MessageState, after: MessageState) -> None:
    if after in EDGES.get(before, frozenset()):
        statement = str(move(before, after).compile(compile_kwargs={"literal_binds": True}))
        assert f"state = {before.value}" in statement.partition("WHERE")[2]
        assert f"state={after.value}" in statement.partition("WHERE")[0]
    else:
        with pytest.raises(ValueError, match="cannot go"):
            move(before, after)


@given(st.lists(STATES, min_size=1, max_size=30))
def test_a_message_ends_once_and_never_starts_again(tries: list[MessageState]) -> None:
    state, ended = MessageState.READY, False
    for wish in tries:
        if wish in EDGES.get(state, frozenset()):
            assert not ended, "nothing follows a final state"
            state = wish
        ended = state not in EDGES
    assert state in RECIPIENT_STATES


def test_whoever_is_left_out_stays_out() -> None:
    assert MessageState.EXCLUDED not in EDGES
    assert MessageState.CONTROL not in EDGES
    reached = frozenset().union(*EDGES.values())
    assert reached.isdisjoint({MessageState.EXCLUDED, MessageState.CONTROL})
    assert frozenset(EDGES) >= OPEN_STATES
