"""Why messages did not go out, in words; the running page and the report say the same."""

from __future__ import annotations

from flask_babel import gettext as _
from flask_babel import lazy_gettext

from envoi.delivery.models import MessageState, Stage
from envoi.mailings.report import Reason
from envoi_web.mailings.context import STAGE_LABELS, detail_words

_AFTER_COLLECTION = {
    Stage.ADDRESS_ISSUE: lazy_gettext("Address issue after collection"),
    Stage.CHANNEL_OPT_OUT: lazy_gettext("Unsubscribed after collection"),
    Stage.CATEGORY_OPT_OUT: lazy_gettext("Unsubscribed from the category after collection"),
    Stage.SUPPRESSED: lazy_gettext("Suppressed after collection"),
}


def held_reason(reason: Reason) -> tuple[str, str]:
    """Why a message did not go out, and a note beside it."""
    if reason.state is MessageState.BLOCKED and reason.stage:
        label = _AFTER_COLLECTION.get(reason.stage, STAGE_LABELS[reason.stage])
        return str(label), detail_words(reason.detail)
    labels = {
        MessageState.FAILED: _("Refused by the gateway") if reason.code else _("Failed"),
        MessageState.UNCONFIRMED: _("Unconfirmed"),
        MessageState.BLOCKED: _("Blocked"),
        MessageState.EXPIRED: _("Expired: its time was over"),
        MessageState.CANCELLED: _("Cancelled"),
        MessageState.ACCEPTED: reason.text or _("Reported as not delivered"),
    }
    if reason.state is MessageState.ACCEPTED:
        # Its code is that of the hand-over, and says nothing of the report.
        return labels[reason.state], ""
    sample = reason.text
    told = sample.startswith(str(reason.code))
    code = _("code %(code)s", code=reason.code) if reason.code and not told else ""
    return labels[reason.state], ", ".join(part for part in (code, sample) if part)
