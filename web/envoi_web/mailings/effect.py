"""What the control group can show, and whether it is like the recipients: in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask_babel import gettext as _

from envoi.audience.control import control_needed, smallest_difference
from envoi.audience.estimate import Share
from envoi.audience.strata import read_strata
from envoi.audience.volume import Volume
from envoi.mailings.changes import MAX_CONTROL_SHARE
from envoi.mailings.models import Mailing
from envoi.webkit.formats import number
from envoi_web.mailings.strata import characteristic_words

_BALANCED = 1.0
"""Up to so many percentage points of difference the groups count as alike."""

Balance = Sequence[tuple[str, Sequence[tuple[str, Share]]]]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What the control group's card says."""

    visible: str = ""
    strata: str = ""
    warning: str = ""
    balance: Balance = ()
    verdict: str = ""
    balanced: bool = True


def effect_of(mailing: Mailing, balance: Balance, fields: Mapping[str, str]) -> Effect:
    """Say what the groups, as they were counted last, are good for."""
    volume = Volume.from_document(mailing.volume)
    if volume is None:
        return Effect()
    verdict, balanced = _verdict(balance)
    return Effect(
        visible=_visible(volume),
        strata=_strata_words(mailing, volume, dict(fields)),
        warning=_warning(mailing, volume),
        balance=balance,
        verdict=verdict,
        balanced=balanced,
    )


def _visible(volume: Volume) -> str:
    """Say the smallest difference that shows, and the control group for a smaller one."""
    least = smallest_difference(volume.recipients, volume.control)
    if least is None:
        return ""
    said: str = _(
        "With %(count)s in the control group the report can show a difference in buyers from about"
        " %(points)s percentage points up, if one in ten buys.",
        count=number(volume.control),
        points=number(100 * least, 1),
    )
    aim = _smaller(100 * least)
    needed = control_needed(volume.eligible, aim / 100)
    share = 100 * needed / volume.eligible if needed else MAX_CONTROL_SHARE + 1
    if needed is None or share > MAX_CONTROL_SHARE or needed <= volume.control:
        return said
    more = _(
        "For %(points)s points take %(share)s %%.", points=number(aim, 1), share=number(share, 1)
    )
    return f"{said} {more}"


def _smaller(points: float) -> float:
    """A round difference to aim at, about a fifth smaller."""
    step = 1.0 if points > 2.5 else 0.1
    return max(0.1, 0.8 * points // step * step)


def _strata_words(mailing: Mailing, volume: Volume, fields: dict[str, str]) -> str:
    if not mailing.strata:
        return str(_("The control group is drawn from all good recipients alike."))
    names = ", ".join(characteristic_words(r, fields) for r in read_strata(mailing.strata))
    held = min((s.control for s in volume.strata), default=0)
    return str(
        _(
            "by %(names)s; %(count)s strata, each with at least %(least)s in control",
            names=names,
            count=number(len(volume.strata)),
            least=number(held),
        )
    )


def _warning(mailing: Mailing, volume: Volume) -> str:
    """Warn of a stratum so small that its share of the control group is below one customer."""
    if mailing.control_audience_id is not None or not (mailing.strata and volume.control):
        return ""
    expected = [s.eligible * mailing.control_share / 100 for s in volume.strata]
    small = [size for size in expected if size < 1]
    if not small:
        return ""
    return str(
        _(
            "The smallest stratum expects %(count)s customers in the control group, so that it may"
            " have none. Wider bands or fewer characteristics help.",
            count=number(min(small), 2),
        )
    )


def _verdict(balance: Balance) -> tuple[str, bool]:
    shares = [(f"{name}: {words}", share) for name, found in balance for words, share in found]
    if not shares:
        return "", True
    words, worst = max(shares, key=lambda pair: abs(pair[1].difference))
    points = abs(worst.difference)
    if points <= _BALANCED:
        said = _(
            "Balanced: no characteristic differs by more than %(points)s percentage points.",
            points=number(max(points, 0.01), 2),
        )
        return str(said), True
    said = _(
        "Not quite balanced: %(value)s differs by %(points)s percentage points. A larger control"
        " group helps.",
        value=words,
        points=number(points, 1),
    )
    return str(said), False
