"""Words of the rule kinds that we ship, so that they are collected for translation."""

from flask_babel import lazy_gettext as _

RULE_WORDS = (
    _("Frequency cap"),
    _("Messages at most"),
    _("Counted with the message that is to be sent. 0 sends nothing."),
    _("In a period of"),
    _("Unit"),
    _("The period rolls; a month is 30 days."),
    _("Channels"),
    _("Messages of these channels count. None chosen: all."),
    _("Mailing categories"),
    _("Only these count. None chosen: all."),
    _("Over the limit"),
    _("Drop the message, or defer it until the cap allows it."),
    _("Hour"),
    _("Day"),
    _("Week"),
    _("Month"),
    _("Drop"),
    _("Defer"),
    _("Quiet hours"),
    _("Quiet from"),
    _("In the customer's own time zone."),
    _("Quiet until"),
    _("Earlier than the beginning: the next morning."),
    _("In quiet hours"),
    _("Defer the message until they end, or drop it."),
    _("It is the customer's quiet time."),
    _("The customer has already got as many messages as the policy allows."),
)
