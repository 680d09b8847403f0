"""What the core says, in the employee's language; sentences may hold values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from flask_babel import gettext


def _(text: str) -> str:
    """Mark a sentence for the catalogue; it is translated when it is said."""
    return text


WITH_VALUES = (
    # Providers with an HTTP interface, and SMS.
    _("{server} cannot be reached. Check the address, or wait until it is back."),
    _("The certificate of {server} has expired. Whoever runs the server has to renew it."),
    _("The certificate of {server} is not yet valid. Check the clock of this machine."),
    _("The certificate of {server} belongs to another server. Check the address."),
    _(
        "The certificate of {server} is signed by nobody who is trusted here. Check the address,"
        " or ask whoever runs the server."
    ),
    _("The certificate of {server} cannot be trusted: {reason}."),
    _("{server} does not speak HTTP/2. Check the address."),
    _(
        "{server} is no address of a web server, or a header cannot be sent. Correct the"
        " settings of the gateway."
    ),
    _("{server} has not answered: {words}"),
    _("{server} asks us to wait (HTTP {status})."),
    _("{server} asked us to wait."),
    _("{server} gives no token of access at the moment. Try again later."),
    _("{server} does not answer as it should. Check the address, or try again later."),
    _("{server} answered as it should: {words}"),
    _(
        "The text makes {count} parts ({alphabet}), and at most {most} are sent to one"
        " customer. Shorten it."
    ),
    # Cascades, and Viber.
    _(
        "The cascade may wait for {waits} minutes, longer than the messages' lifetime of"
        " {lifetime}. Shorten the waiting, or lengthen the lifetime."
    ),
    _("A cascade has at most {most} channels. Remove one first."),
    _("A button shows at most {most} characters. Shorten it."),
    _("The text has {count} characters, and a Viber message at most {most}. Shorten it."),
    _("The text is longer than {most} characters."),
    _("The button is longer than {most} characters."),
    _("Nothing is called {name}. Choose one of the names."),
    # Push, and the API's keys.
    _(
        "The message has {bytes} bytes, and push services take {most}; a Cyrillic letter is two,"
        " an emoji four. Shorten it here."
    ),
    _("No app has registered this token: {token}. Put its service before it, as in fcm:TOKEN."),
    _("A key has a name of 1 to {most} characters, best that of the system."),
    # Limits of gateways.
    _("{name} is no domain. Write one such as gmail.com."),
    _("The rate of {name} must be above 0, at most 100,000 a second."),
    _("No enabled plugin brings the limit {name}. Enable one in Settings, Plugins."),
    # Imports: why a row or a file is refused, and what is doubtful.
    _("There is no customer '{number}'. Import the customer first."),
    _("There is no customer with the number '{number}'."),
    _("The customer '{number}' stands in an earlier line already."),
    _("There is no receipt '{number}'. Import the receipt first."),
    _("The lines of receipt '{number}' name several customers. Correct them."),
    _("Receipt '{number}' has more than {most} lines. Split it."),
    _("Line {line} of the same receipt '{number}' was refused. Correct it."),
    _("The line names no target audience of 1 to {most} characters."),
    _("{column} is {value}. Write Y, N or nothing."),
    _("{column} is {value}. Write one of: {names}."),
    _("{column} is {value}, no date. Write it like 1990-12-31."),
    _("{column} is {value}, a year that cannot be. Correct it."),
    _("{column} is {value}, no number. Write it like 12.5."),
    _("{column} is {value}, no amount. Write it like 1234.50."),
    _("{column} is {value}, but the company's currency has {decimals} decimals. Round it."),
    _("{column} is {value}, more than can be kept. Correct it."),
    _("{column} is {value}, no web address. Write it like https://example.com/tea."),
    _("{column} is empty. Every row needs one."),
    _("{column} is empty. Every customer needs one."),
    _("{column} is empty. Every receipt needs a time."),
    _("{column} is {value}. Write F, M or nothing."),
    _("{column} is {value}. Write a whole number from 1 to {most}."),
    _("{column} is {value}, which is not known. Write it like Europe/Berlin."),
    _("{column} has {count} characters, at most {most} fit. Shorten it."),
    _("{value} may be two dates. Say in the mapping whether day or month comes first."),
    _("{contact} {value} is not valid. The customer was imported, the {contact} is marked."),
    _("{column} {value} stands again in a later line, which counts."),
    _("The line is no CSV: {reason}."),
    _("The line is longer than {count} bytes."),
    _("The line has {cells} cells, but there are {width} columns."),
    _("A cell is longer than {count} characters. Is a quotation mark not closed?"),
    _("A cell is longer than {count} characters."),
    _("{count} more lines are not listed."),
    _(
        "Line {line} is not UTF-8 (byte {byte}); the file was probably saved in another encoding."
        " Save it as CSV UTF-8 and try again."
    ),
    _("Line {line} ends in the middle of a character: the file is cut off."),
    _("The file has {count} columns, at most {most} can be read."),
    _("The archive holds {count} files. Pack exactly one."),
    _(
        "The import stopped at an error of the program; what it had saved is kept. Tell an"
        " administrator the number of the import, {number}."
    ),
    # Why a mailing has paused by itself.
    _(
        "{share} percent of the messages bounced ({bounces} of {tried}). See in the"
        " report why, then resume or cancel."
    ),
    _(
        "{share} percent of the recipients reported the mailing as spam ({complaints} of"
        " {accepted}). Ask who gets it and why, then resume or cancel."
    ),
    # Templates, MJML and pictures of a message.
    _("There is no picture number {number}. Choose another one."),
    _("The picture number {number} is not in the library any more. Choose another."),
    _("There is no attachment number {number}. Remove it."),
    _("The attachment number {number} is not in the library any more. Remove it."),
    _("The file is used by {names}. Take it out there first; what was sent needs it too."),
    _("{part} cannot be used in a message. Remove it."),
    _("{part} cannot be used in a template."),
    _("{name} cannot be used: names do not begin with an underscore."),
    _("There is no filter {name}. There are: {names}."),
    _("There is no test {name}. There are: {names}."),
    _("The template cannot be used: {reason}."),
    _("The template is larger than {size} KB. Shorten it."),
    _("The MJML is larger than {size} KB. Shorten it."),
    _("There is no MJML element <{name}> here."),
    _("The MJML is not well formed: {reason}."),
    _("The value of {name} needs quotes."),
    # Mailings.
    _("There is no such {part}. Choose another one."),
    _("There is no gateway for {channel}. Set one up in Settings."),
    _("There is no gateway for {channel}. Set one up in Settings, then resume."),
    # Costs: why a run waits, and prices that are refused.
    _("The budget of {sum} is used up. Raise it, then resume."),
    _("{prefix} has {count} prices. Leave one."),
    _("The channel {channel} is not enabled for this company."),
    _(
        "These characteristics make {count} strata, and {most} are the most. Leave one out, or"
        " make its bands wider."
    ),
    _("The shares add up to {sum} %. Make them 100 % together."),
    _("A message holds at most {most} blocks. Delete some first."),
    _("This is no email address: {address}."),
    _("This is no number of a mobile phone: {address}."),
    _("The longest message makes {parts} parts, and each of them is paid for."),
    _(
        "{signs} makes the whole message Unicode: 70 characters fit into a part instead of 160."
        " Leave it out to pay less."
    ),
    _("There is no customer number {number}."),
    _(
        "The number of recipients has changed from {seen} to {found} since it was counted. Nothing"
        " was sent. Look at the new number and confirm again."
    ),
    _("This mailing is {status} and cannot be {done}."),
    _("Asking again who may get the mailing failed: {sentence}"),
    # What a mail server answered, which pauses a mailing.
    _("The SMTP server {host} is not ready: {reply}. Try again later."),
    _("The SMTP server {host} refuses us: {reply}. Check the gateway's settings."),
    _("A gateway has a name of 1 to {most} characters."),
    _(
        "The server {host} is in a private network, which is closed to companies here. Enter a"
        " public one, or ask whoever runs the servers."
    ),
    _("The gateway confirmed none of the last {count} messages: {reply}"),
    _(
        "The gateway refused all of the last {count} messages. Correct what it names, then"
        " resume: {reply}"
    ),
    _("The SMTP server {host} cannot be reached. Check host, port and network."),
    _("The SMPP server {host} cannot be reached. Check host, port and network."),
    _("The SMPP server refuses our account: {reply}. Check user name and password."),
    _("The SMPP server does not let us in now: {reply}. Try again later."),
    _("The SMTP server {host} broke off while greeting. Try again later."),
    _("The SMTP server takes no more messages now: {reply}. Try again later."),
    _("The SMTP server refuses our account: {reply}. Check the gateway's login."),
    _("{host} offers no STARTTLS. Choose another kind of security."),
    _("{host} offers no login by PLAIN, LOGIN or CRAM-MD5. Remove the user name."),
    _("No TLS with {host}:{port}. Check security and port."),
    # Segments and target audiences.
    _("There is no segment number {number}."),
    _("There is no version {number} of this segment."),
    _("The segment would contain itself: {names}."),
    _("The segment uses the segment {number}, which was deleted."),
    _("The segment uses the source {name}, which is not on."),
    _(
        "The segment uses the {part}, which was deleted or never existed. Remove the condition or"
        " choose another."
    ),
    _("The segment uses the {part} {value}, which was deleted or never existed. Choose another."),
    _("{name} is compared by one of: {names}."),
    _("There is no setting {name} here."),
    _("Enter a date from {first} to {last}."),
    _("Groups are at most {most} deep."),
    _("This is no JSON: {reason}."),
    _(
        "The segment {name} cannot be deleted, because it is used by {names}. Choose another"
        " segment there first."
    ),
    _("There is no target audience number {number}."),
    _(
        "The target audience {name} cannot be deleted, because it is used by {names}. Choose"
        " another audience there first."
    ),
    _(
        "This mailing has more than {most} recipients, so that another person has to approve it."
        " Ask for approval: a Senior marketer or an Administrator starts it then. Nothing was"
        " sent."
    ),
    _(
        "There are {count} recipients now, more than the {most} that need no other approval."
        " Cancel the mailing and copy it, then ask for approval of the copy."
    ),
    # Policies and settings; what a rule says of itself.
    _("At most {sentence} in any {period}; more are {then}"),
    _("Quiet from {begin} to {end} by the customer's clock; messages {then}"),
    _("1 message by {channels} of certain categories"),
    _("1 message by {channels}"),
    _("{count} messages by {channels} of certain categories"),
    _("{count} messages by {channels}"),
    _("{count} messages of certain categories"),
    _("{count} messages"),
    _("{count} hours"),
    _("{count} days"),
    _("{count} weeks"),
    _("{count} months"),
    _(
        "The policy {name} is used by {count} mailings, so it cannot be deleted. Choose another"
        " policy in drafts; sent mailings keep theirs."
    ),
    _(
        "The policy {name} is the default one and has no rules, so it cannot be {done}. Create"
        " another policy."
    ),
    _(
        "The category {name} is chosen in {count} mailings that have not started. Choose another"
        " one there, then delete it."
    ),
    _(
        "The group {name} is chosen in the mailings {names}. Choose another one there, then delete"
        " it."
    ),
    _("{address} is no address that could be sent to. Mend or remove it."),
    _("The plugin {name} is a part of Envoi itself and is always on."),
    _(
        "The settings of {name} are missing, or no longer suit this version of it. Enter them in"
        " Settings, Plugins."
    ),
    _(
        "The plugin {name} is used by the policies {names}. Take its rules out of them, then"
        " switch it off."
    ),
    _("There is no working plugin {name}."),
    _("The plugin {names} is off for this company. An administrator can switch it on."),
    # Macros and promo codes.
    _("There is no macro {name}. There are: {names}."),
    _("There is no group of promo codes named {name}. Choose one that there is."),
    _("The promo codes of {name} have expired. Choose another group."),
    _(
        "The group {name} has {count} promo codes left, and {more} messages are next. Add codes"
        " to it, then continue the mailing."
    ),
    _(
        "The group {name} has {count} promo codes left, and {more} customers get the mailing. Add"
        " codes to it: the mailing pauses when they run out."
    ),
    _("The group {name} has {count} promo codes left. Add codes to it in time."),
    _("Line {line} is no code: at most {count} characters, no spaces."),
    _("Enter a name of 1 to {count} characters without quotes and braces."),
    _("There is a group named {name} already. Choose another name."),
    _("From 1 to {count} codes can be added at once. Add the others after them."),
    _("The format has only {count} codes that are free. Make it longer."),
    _("A code has 1 to {count} characters. Change the format."),
    # What a form's own model refuses.
    _("At most {count} characters fit. Shorten the text."),
    _("At least {count} characters are needed. Enter more."),
    _("At most {count} entries fit. Remove some."),
    _("At least {count} entries are needed. Add some."),
    _("Enter a number above {count}."),
    _("Enter a number from {count}."),
    _("Enter a number below {count}."),
    _("Enter a number up to {count}."),
    # Around another sentence, so these are the last to be tried.
    _("The macro {macro} gave nothing: {sentence}"),
    _("The macro {macro} cannot be used: {sentence}"),
    _("{sentence} Nothing was imported."),
    _("Line {line}: {sentence}"),
    _("Step {step}, {label}: {sentence}"),
    _("Plugin {plugin}: {sentence}"),
    _("{sentence}. Have it mended, then go on."),
    _("{place} did not answer in {seconds} s"),
    _("{place} called os._exit({status})"),
    _("{place} crashed: {reason}"),
    _("{place} failed: {error}"),
    _("{server} refuses the account or the address (HTTP {status}). {sentence}"),
)
_SENTENCES = {"sentence", "period", "then", "label"}
"""Values that are words of the core themselves."""
_CODES = {"column", "contact", "channels"}
"""Values that are codes, which people know by a label."""
_KINDS = {"count": r"-?[\d,]+(?:\.\d+)?", "place": r"[a-zA-Z]+(?: [a-z]+)? [\w.-]+"}
"""What a value looks like, where that is not just any text."""
_LONGEST = 2000
"""A sentence that is longer is none of these, and is not searched."""


def said(text: str, labels: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return a sentence in the employee's language, or as it is where there is no translation.

    Codes of columns and channels in it are named by the labels given.
    """
    known = str(gettext(text))
    if known != text or len(text) > _LONGEST:
        return known
    for sentence, pattern in _patterns():
        if found := pattern.fullmatch(text):
            values = found.groupdict()
            values |= {name: said(values[name], labels) for name in _SENTENCES & values.keys()}
            codes = _CODES & values.keys()
            values |= {name: _named(values[name], labels) for name in codes}
            return str(gettext(sentence)).format(**values)
    return text


def _named(codes: str, labels: Mapping[str, str]) -> str:
    return ", ".join(labels.get(code, code) for code in codes.split(", "))


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Each sentence with what finds it and its values in a text."""
    return tuple((sentence, _pattern(sentence)) for sentence in WITH_VALUES)


def _pattern(sentence: str) -> re.Pattern[str]:
    """What finds a sentence; a value that stands in it twice is the same in both places."""
    found = ""
    for at, part in enumerate(re.split(r"\{(\w+)\}", sentence)):
        known = f"(?P<{part}>" in found
        value = f"(?P={part})" if known else f"(?P<{part}>{_KINDS.get(part, '.+?')})"
        found += value if at % 2 else re.escape(part)
    return re.compile(found, re.DOTALL)
