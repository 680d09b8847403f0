"""What a report says in words: the verdict, and the names of outcomes and reasons."""

from __future__ import annotations

from dataclasses import dataclass

from flask_babel import gettext as _
from flask_babel import lazy_gettext

from envoi.delivery.models import Stage
from envoi.mailings.lift import Lift, Verdict
from envoi.mailings.report import MailingReport
from envoi.mailings.statistics import SMALLEST_GROUP, Difference
from envoi.receipts.attribution import OPENED
from envoi.subscriptions.service import Reason as LeaveReason
from envoi.tracking.agents import Device
from envoi.webkit.formats import clock, day, moment, money, number, percent
from envoi_web.mailings.context import STAGE_LABELS

OUTCOMES = {
    "customers": lazy_gettext("Customers"),
    "good": lazy_gettext("Good recipients"),
    "control": lazy_gettext("Control group"),
    "recipients": lazy_gettext("Recipients"),
    "sent": lazy_gettext("Sent"),
    "delivered": lazy_gettext("Delivered"),
    "undelivered": lazy_gettext("Not delivered"),
    "opened": lazy_gettext("Opened"),
    "clicked": lazy_gettext("Clicked"),
    "bought": lazy_gettext("Bought"),
    "unsubscribed": lazy_gettext("Unsubscribed"),
    "complained": lazy_gettext("Complained"),
    "waiting": lazy_gettext("Waiting"),
    "not_sent": lazy_gettext("Not sent"),
    "failed": lazy_gettext("Failed"),
    "unconfirmed": lazy_gettext("Unconfirmed"),
    "resent": lazy_gettext("Possibly twice"),
    "blocked": lazy_gettext("Blocked"),
    "expired": lazy_gettext("Expired"),
    "cancelled": lazy_gettext("Cancelled"),
}
DEVICES = {
    Device.PHONE: lazy_gettext("Phone"),
    Device.TABLET: lazy_gettext("Tablet"),
    Device.COMPUTER: lazy_gettext("Computer"),
    Device.HIDDEN: lazy_gettext("Not told by the mail program"),
}
LEAVE_REASONS = {
    LeaveReason.TOO_MANY: lazy_gettext("Too many messages"),
    LeaveReason.NOT_INTERESTING: lazy_gettext("Not interesting to me"),
    LeaveReason.NEVER_ASKED: lazy_gettext("Never asked for them"),
    LeaveReason.OTHER: lazy_gettext("Another reason"),
    "": lazy_gettext("No reason given"),
}
_IN_THE_END = {
    Verdict.MORE: lazy_gettext(
        "Recipients bought more often than the control group: %(main)s against %(control)s."
    ),
    Verdict.FEWER: lazy_gettext(
        "Recipients bought less often than the control group: %(main)s against %(control)s."
    ),
    Verdict.NOT_SIGNIFICANT: lazy_gettext(
        "No effect on buying can be told from chance: %(main)s of recipients bought, %(control)s of"
        " the control group. Not significant."
    ),
}
_MORE_BASIS = lazy_gettext(
    "That is %(points)s percentage points more, and with 95 %% confidence between %(low)s and"
    " %(high)s."
)
_FEWER_BASIS = lazy_gettext(
    "That is %(points)s percentage points less, and with 95 %% confidence between %(low)s and"
    " %(high)s."
)
_HIGHER = {
    True: lazy_gettext("Revenue per customer was %(amount)s higher, which is more than chance."),
    False: lazy_gettext(
        "Revenue per customer was %(amount)s higher, which may still be chance: not significant."
    ),
}
_LOWER = {
    True: lazy_gettext("Revenue per customer was %(amount)s lower, which is more than chance."),
    False: lazy_gettext(
        "Revenue per customer was %(amount)s lower, which may still be chance: not significant."
    ),
}


@dataclass(frozen=True)
class Said:
    """The verdict: the sentence, what it rests on, and how it looks."""

    headline: str
    basis: str
    remark: str
    tone: str
    icon: str


def outcome_label(outcome: str) -> str:
    """The name of an outcome; stages have theirs."""
    if outcome in OUTCOMES:
        return str(OUTCOMES[outcome])
    return str(STAGE_LABELS[Stage[outcome.upper()]])


def outcomes() -> list[tuple[str, str]]:
    """Every outcome by name, to choose from."""
    names = [*OUTCOMES, *(stage.name.lower() for stage in Stage)]
    return [(name, outcome_label(name)) for name in names]


def leave_reason(code: str) -> str:
    """Why a customer unsubscribed; a text that is no code of ours is shown as it is."""
    return str(LEAVE_REASONS.get(code, code))


def program_label(program: str) -> str:
    """A mail program by its name, which is the same in every language."""
    return program or str(_("Another program"))


def domain_label(domain: str) -> str:
    """A domain as it is written in addresses."""
    return domain or str(_("All others"))


def lead(report: MailingReport) -> str:
    """When it was sent, and how fresh the figures are."""
    if report.finished_at is None:
        return " ".join(
            (
                _("Sending since %(time)s.", time=moment(report.launched_at)),
                _("Figures so far, as of %(time)s.", time=moment(report.as_of)),
            )
        )
    began = f"{day(report.launched_at)}, {clock(report.launched_at)}"
    ended = f"–{clock(report.finished_at)}"
    return " ".join(
        (
            _("Sent %(time)s.", time=began + ended),
            _("Figures as of %(time)s.", time=moment(report.as_of)),
        )
    )


def control_words(report: MailingReport) -> str:
    """How the control group came about, which decides what a difference means."""
    if report.control_audience:
        return str(
            _(
                "The control group is the target audience %(name)s. It was chosen, not drawn by"
                " chance: a difference may come from who is in it, not from the mailing.",
                name=report.control_audience,
            )
        )
    if report.strata > 1:
        return str(
            _(
                "The groups were drawn by chance over %(count)s strata before the mailing.",
                count=number(report.strata),
            )
        )
    return str(_("The groups were drawn by chance before the mailing."))


def verdict(report: MailingReport) -> Said:
    """Say what can be said about the effect, and no more."""
    lift = report.lift
    if lift.verdict is Verdict.NO_CONTROL:
        return Said(
            _("Whether the mailing had an effect cannot be told: there was no control group."),
            _(
                "Attributed receipts followed an opened message; how many of them would have come"
                " anyway is not known."
            )
            if report.channel in OPENED
            else _(
                "Attributed receipts followed a delivered message; how many of them would have"
                " come anyway is not known."
            ),
            "",
            "",
            "info-circle",
        )
    if lift.verdict is Verdict.TOO_FEW or lift.conversion is None:
        return Said(
            _("The groups are too small to compare."),
            _(
                "Both need at least %(count)s customers; the control group has %(control)s.",
                count=SMALLEST_GROUP,
                control=number(lift.control.customers),
            ),
            "",
            "",
            "info-circle",
        )
    if lift.is_open:
        return _so_far(lift)
    headline, tone, icon = _headline(lift)
    return Said(headline, _basis(lift.conversion), _revenue(lift), tone, icon)


def _so_far(lift: Lift) -> Said:
    """The rates alone: who looks often enough finds any effect significant at some moment."""
    return Said(
        _(
            "So far %(main)s of recipients and %(control)s of the control group have bought.",
            main=percent(lift.main.conversion),
            control=percent(lift.control.conversion),
        ),
        _(
            "Whether that is an effect is told when the time for purchases is over: %(until)s.",
            until=moment(lift.until),
        ),
        "",
        "",
        "clock",
    )


def _headline(lift: Lift) -> tuple[str, str, str]:
    """The sentence, its tone and its icon."""
    rates = {"main": percent(lift.main.conversion), "control": percent(lift.control.conversion)}
    looks = {
        Verdict.MORE: ("good", "trending-up"),
        Verdict.FEWER: ("bad", "trending-down"),
        Verdict.NOT_SIGNIFICANT: ("", "info-circle"),
    }
    return str(_IN_THE_END[lift.verdict]) % rates, *looks[lift.verdict]


def _basis(difference: Difference) -> str:
    text = _MORE_BASIS if difference.value >= 0 else _FEWER_BASIS
    return str(text) % {
        "points": number(abs(difference.value) * 100, 1),
        "low": number(difference.low * 100, 1),
        "high": number(difference.high * 100, 1),
    }


def _revenue(lift: Lift) -> str:
    each = lift.revenue_per_customer
    if each is None:
        return ""
    texts = _HIGHER if each.value >= 0 else _LOWER
    return str(texts[each.is_significant]) % {"amount": money(round(abs(each.value)))}
