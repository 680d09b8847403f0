"""Parts and devices of a message: what they make of it, and what the recorder keeps of them."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from envoi.delivery.recorder import MOST_TEXT
from envoi.delivery.submissions import packed, unpacked, whole
from envoi.types import SendResult, SendStatus, Submission

S = SendStatus
STATUSES = st.sampled_from(S)
SUBMISSIONS = st.lists(
    st.builds(
        Submission,
        number=st.integers(1, 2**62),
        status=STATUSES,
        code=st.integers(0, 2**15 - 1),
        provider_id=st.text("0123456789abcdef-é", max_size=60),
        address_gone=st.booleans(),
    ),
    max_size=12,
)


@given(SUBMISSIONS)
@example([Submission(number=1, status=S.ACCEPTED, provider_id="x" * 2_000)])
def test_the_recorder_keeps_submissions_as_far_as_there_is_room(found: list[Submission]) -> None:
    data = packed(found, MOST_TEXT)
    kept = list(unpacked(data))
    assert len(data) <= MOST_TEXT
    assert kept == found[: len(kept)]
    assert len(kept) == len(found) or sum(len(s.provider_id.encode()) + 13 for s in found) > 200


@given(st.lists(STATUSES, min_size=1, max_size=5))
def test_a_message_is_taken_when_a_part_is_and_lost_before_it_is_refused(
    statuses: list[SendStatus],
) -> None:
    parts = tuple(
        Submission(number=n, status=status, raw=f"part {n}")
        for n, status in enumerate(statuses, start=1)
    )
    found = whole(SendResult(status=S.REFUSED, submissions=parts))
    order = [S.ACCEPTED, S.UNKNOWN, S.THROTTLED, S.REFUSED_NOW, S.REFUSED]
    assert found.status is min(statuses, key=order.index)
    assert found.submissions == parts
    missing = [part for part in parts if part.status is not S.ACCEPTED]
    if found.status is not S.ACCEPTED:
        assert found.raw in {part.raw for part in parts if part.status is found.status}
    elif missing:
        assert found.raw == f"{len(missing)} of {len(parts)} were not taken: {missing[0].raw}"
    else:
        assert found.raw == ""


@given(STATUSES)
def test_a_message_without_parts_is_what_its_answer_says(status: SendStatus) -> None:
    answer = SendResult(status=status, code=7, provider_id="7", raw="seven")
    assert whole(answer) is answer
