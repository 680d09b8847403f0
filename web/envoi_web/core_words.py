"""Sentences of the core and of our plugins that pages show, so that they are collected."""

from flask_babel import lazy_gettext as _

CORE_WORDS = (
    # Values of stratification parameters.
    _("Under 18"),
    _("60 and over"),
    # What keeps a mailing from starting.
    _("Choose a segment: who is to get it?"),
    _("There is no gateway for this channel. Set one up in Settings."),
    _("The chosen start is in the past. Choose a later one, or start now."),
    _("MJML begins with <mjml>."),
    _("The template is nested too deep. Simplify it."),
    _("The template holds too many expressions. Simplify it."),
    _("The MJML could not be compiled within its limits. Simplify it."),
    _("Compiling the MJML takes too long. Simplify it."),
    # What is not there.
    _("There is no such mailing. It may have been deleted."),
    _("There is no such variant. It may have been deleted."),
    _("There is no such policy. It may have been deleted."),
    _("This channel is not enabled for the company."),
    _("There is no such customer."),
    _("There is no such import."),
    _("There is no such message in the mailbox."),
    _("The uploaded file is gone. Upload it again."),
    _("This installation has no demo mailbox."),
    # What cannot be done, or not any more.
    _("This mailing has already been confirmed."),
    _("It is too late to undo: the mailing has started. It can be paused."),
    _("This mailing is confirmed and can no longer be changed. Copy it, or undo the start."),
    _(
        "Somebody else saved this mailing while you were editing. Nothing of yours is lost:"
        " compare with the saved version, then save again."
    ),
    _(
        "Somebody else saved this policy while you were editing. Nothing of yours is lost:"
        " compare with the saved version, then save again."
    ),
    _(
        "Somebody else has changed this segment since you opened it. Open it again to see the"
        " changes, then make yours."
    ),
    _("This mailing has not started, so there is nothing to report yet."),
    _("This mailing has not started, so nobody has an outcome yet."),
    _("The mailing is not being sent, so it cannot be paused."),
    _("The mailing is not paused, so it cannot be resumed."),
    _("The mailing has ended already, so it cannot be cancelled."),
    _("Enter a name of 1 to 100 characters."),
    _("A policy can have at most 20 rules."),
    _("The period can be a year at most. Choose a shorter one."),
    _("A cap of 0 never allows a message again, so it cannot defer one."),
    _("There is already a policy with this name. Enter another one."),
    _("This kind of rule is not enabled for the company."),
    _("Your role does not include this. An administrator can change your role."),
    _("Your role includes this only for what you made yourself. Ask a senior marketer."),
    _("There is no such company. Choose one from the list."),
    _("You do not belong to a company any more. Ask an administrator to invite you."),
)
