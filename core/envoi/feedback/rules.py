"""The rules by which a refusal is judged: in order, the first that fits decides.

A status (RFC 3463) is asked before the three-digit code, phrases come last. Only what is
certain is held against a customer; what no rule knows is soft.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from envoi.customers.models import Quality
from envoi.feedback.models import Fault


class Why(StrEnum):
    """What a refusal says, as one of few reasons; stored with the bounce."""

    UNKNOWN_USER = "unknown_user"
    NO_DOMAIN = "no_domain"
    BAD_ADDRESS = "bad_address"
    RECIPIENT_BLOCKS = "recipient_blocks"
    ATTACHMENTS = "attachments"
    MAILBOX_FULL = "mailbox_full"
    DISABLED = "disabled"
    TOO_LARGE = "too_large"
    DNS = "dns"
    TIMEOUT = "timeout"
    LOOP = "loop"
    TEMPORARY = "temporary"
    BLOCKLIST = "blocklist"
    SPAM = "spam"
    AUTHENTICATION = "authentication"
    RATE = "rate"
    POLICY = "policy"
    CONTENT = "content"
    UNDELIVERED = "undelivered"
    UNCLASSIFIED = "unclassified"


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whom a refusal blames, the quality code it gives the contact (0: none), and why."""

    fault: Fault
    quality: Quality
    why: Why


@dataclass(frozen=True, slots=True)
class Rule:
    """A judgement for refusals that fit in every part that is given."""

    judgement: Judgement
    status: re.Pattern[str] | None = None
    codes: frozenset[int] = frozenset()
    phrase: re.Pattern[str] | None = None

    def fits(self, status: str, code: int, text: str) -> bool:
        """Whether the refusal is of this rule's kind."""
        return (
            (self.status is None or bool(self.status.fullmatch(status)))
            and (not self.codes or code in self.codes)
            and (self.phrase is None or bool(self.phrase.search(text)))
        )


def _hard(quality: Quality, why: Why) -> Judgement:
    return Judgement(Fault.HARD, quality, why)


def _soft(quality: Quality, why: Why) -> Judgement:
    return Judgement(Fault.SOFT, quality, why)


def _ours(why: Why) -> Judgement:
    return Judgement(Fault.SENDER, Quality.GOOD, why)


def _rule(judgement: Judgement, status: str = "", codes: str = "", phrase: str = "") -> Rule:
    return Rule(
        judgement,
        re.compile(status) if status else None,
        frozenset(map(int, codes.split())),
        re.compile(phrase, re.IGNORECASE) if phrase else None,
    )


UNCLASSIFIED = _soft(Quality.UNAVAILABLE, Why.UNCLASSIFIED)
UNDELIVERED = _soft(Quality.GOOD, Why.UNDELIVERED)
"""What did not arrive by another channel than email; it says nothing of the address."""
NO_SUCH_NUMBER = _hard(Quality.NOT_EXISTING, Why.UNKNOWN_USER)

_UNKNOWN = _hard(Quality.NOT_EXISTING, Why.UNKNOWN_USER)
_NO_DOMAIN = _hard(Quality.NO_DOMAIN, Why.NO_DOMAIN)
_BAD_ADDRESS = _hard(Quality.FORMAT_ERROR, Why.BAD_ADDRESS)
_FULL = _soft(Quality.MAILBOX_FULL, Why.MAILBOX_FULL)
_DISABLED = _soft(Quality.UNAVAILABLE, Why.DISABLED)
_LARGE = _soft(Quality.TOO_LONG, Why.TOO_LARGE)
_DNS = _soft(Quality.DNS_ERROR, Why.DNS)
_TIMEOUT = _soft(Quality.TIMEOUT, Why.TIMEOUT)
_LOOP = _soft(Quality.UNAVAILABLE, Why.LOOP)
_TEMPORARY = _soft(Quality.UNAVAILABLE, Why.TEMPORARY)

_SAYS_BLOCKLIST = (
    r"black ?list|block ?list|spamhaus|barracuda|\brbl\b|dnsbl|banned sending ip|listed (at|in|on)"
    r"|S3140|S3150|TSS0\d|reputation"
)
_SAYS_SPAM = r"\bspam\b|spam message|unsolicited|spam-like|bulk mail|спам"
_SAYS_AUTHENTICATION = r"\bspf\b|\bdkim\b|\bdmarc\b|unauthenticated|reverse dns|\bptr\b"
_SAYS_RATE = r"too many|rate limit|throttl|unusual rate|exceeded .{0,30}(rate|per hour)"
_SAYS_UNKNOWN = (
    r"user[^\n]{0,60}unknown|unknown[^\n]{0,20}(user|recipient|mailbox|address)"
    r"|no such (user|recipient|mailbox|address|person|account)"
    r"|does(n't| not) (exist|have an? [^\n]{1,40}account)|mailbox (unavailable|not found)"
    r"|(recipient|user|address|account)[^\n]{0,40}(not found|not exist|not known)"
    r"|RecipientNotFound|no mailbox here|invalid (recipient|mailbox|user)|not a valid mailbox"
    r"|recipient address rejected: access denied|not our customer|unrouteable address"
    r"|address could not be found|couldn't be found|account that you tried to reach"
    r"|нет такого пользователя|пользовател[ья] не (найден|существует)"
)
_SAYS_NO_DOMAIN = (
    r"(domain|host)[^\n]{0,40}(not found|not exist|unknown)|nxdomain|null ?mx"
    r"|no such domain|couldn't find any host|unrouteable mail domain|домен не (найден|существует)"
)
_SAYS_FULL = (
    r"mailbox[^\n]{0,40}(is )?full|over ?quota|quota (is )?exceeded|exceeded[^\n]{0,30}quota"
    r"|out of storage|mailbox size limit|insufficient (disk|storage)|quotaexceeded|переполнен"
)
_SAYS_DISABLED = (
    r"(account|mailbox|user)[^\n]{0,40}(disabled|inactive|suspended|locked|deactivated|frozen)"
    r"|(disabled|inactive|suspended|locked) (account|mailbox|user)|заблокирован"
)

RULES: tuple[Rule, ...] = (
    # 5.7.x is about us, whatever it says besides: reputation, authentication, policy.
    _rule(_ours(Why.RATE), r"[45]\.7\.28"),
    _rule(_ours(Why.AUTHENTICATION), r"[45]\.7\.(2\d|30)"),
    _rule(_ours(Why.AUTHENTICATION), r"[45]\.7\..*", phrase=_SAYS_AUTHENTICATION),
    _rule(_ours(Why.BLOCKLIST), r"[45]\.7\..*", phrase=_SAYS_BLOCKLIST),
    _rule(_ours(Why.SPAM), r"[45]\.7\..*", phrase=_SAYS_SPAM),
    _rule(_ours(Why.RATE), r"[45]\.7\..*", phrase=_SAYS_RATE),
    _rule(_ours(Why.POLICY), r"[45]\.7\..*"),
    # Addresses. 5.1.7 and 5.1.8 speak of the sender's.
    _rule(_ours(Why.POLICY), r"[45]\.1\.[78]"),
    _rule(_NO_DOMAIN, r"5\.1\.10", phrase=_SAYS_NO_DOMAIN),
    _rule(_UNKNOWN, r"5\.1\.(1|6|10)"),
    _rule(_NO_DOMAIN, r"5\.1\.2"),
    _rule(_BAD_ADDRESS, r"5\.1\.3"),
    # Mailboxes: vendors disagree about "disabled", so it is soft.
    _rule(_DISABLED, r"[45]\.2\.1"),
    _rule(_FULL, r"[45]\.2\.2"),
    _rule(_LARGE, r"[45]\.(2\.3|3\.4)"),
    # Some servers answer for recipients they do not know with codes of the network.
    _rule(_UNKNOWN, r"5\.4\.1", phrase=r"access denied|recipient address rejected"),
    _rule(_NO_DOMAIN, r"5\.4\.4", phrase=_SAYS_NO_DOMAIN),
    _rule(_DNS, r"[45]\.4\.[34]"),
    _rule(_LOOP, r"[45]\.4\.(6|14)"),
    _rule(_TIMEOUT, r"[45]\.4\.(1|2|7)"),
    _rule(
        _hard(Quality.REFUSES_ATTACHMENTS, Why.ATTACHMENTS), r"5\.[36]\..*", phrase=r"attachment"
    ),
    _rule(_ours(Why.CONTENT), r"[45]\.6\.[1-9]\d*"),
    _rule(_TEMPORARY, r"4\.[1-6]\.[1-9]\d*"),
    # Codes that mean one thing. 550, 553 and 554 mean anything, so their words decide.
    _rule(_ours(Why.AUTHENTICATION), codes="530 534 535 538"),
    _rule(_NO_DOMAIN, codes="521 556"),
    _rule(_UNKNOWN, codes="551"),
    _rule(_ours(Why.SPAM), codes="552", phrase=_SAYS_SPAM),
    _rule(_LARGE, codes="552", phrase=r"message[^\n]{0,40}(size|large|big)"),
    _rule(_FULL, codes="552"),
    # Words.
    _rule(
        _hard(Quality.BLOCKED_BY_RECIPIENT, Why.RECIPIENT_BLOCKS),
        phrase=r"blocked by (the )?(recipient|user)|recipient (has )?(blocked|refuse[sd])"
        r"|sender is in (the )?recipient's block",
    ),
    _rule(_ours(Why.AUTHENTICATION), phrase=_SAYS_AUTHENTICATION),
    _rule(_ours(Why.BLOCKLIST), phrase=_SAYS_BLOCKLIST),
    _rule(_ours(Why.SPAM), phrase=_SAYS_SPAM),
    _rule(_ours(Why.RATE), phrase=_SAYS_RATE),
    _rule(_FULL, phrase=_SAYS_FULL),
    _rule(_DISABLED, phrase=_SAYS_DISABLED),
    _rule(_NO_DOMAIN, phrase=_SAYS_NO_DOMAIN),
    _rule(_UNKNOWN, phrase=_SAYS_UNKNOWN),
    _rule(
        _ours(Why.POLICY),
        phrase=r"\bpolicy\b|access denied|relay(ing)? (access )?denied|not permitted",
    ),
    _rule(
        _hard(Quality.REFUSES_ATTACHMENTS, Why.ATTACHMENTS), phrase=r"attachments? (is |are )?not"
    ),
    _rule(_LARGE, phrase=r"(message|size)[^\n]{0,40}(too (large|big)|exceeds)"),
    _rule(_DNS, phrase=r"name service error|dns (error|failure)|mx lookup"),
    _rule(_LOOP, phrase=r"mail loop|too many hops|routing loop"),
    _rule(_TIMEOUT, phrase=r"timed? ?out|connection refused|could not connect|retry timeout"),
    _rule(_TEMPORARY, phrase=r"temporar|try again later|greylist|grey list"),
    _rule(_TEMPORARY, codes="420 421 431 432 441 442 447 450 451 452 471"),
)
