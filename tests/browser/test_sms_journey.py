"""The journey of an SMS in a real browser: from its gateway to the report, nothing by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from envoi_simulators.http_sms import HttpSms
from looking import WIDE, sign_in
from processes import wait_until
from product import EMAIL, PASSWORD, Product, running_product

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CUSTOMERS = 12
LANDLINES = 2
PERSON = {"User-Agent": "Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/140.0 Mobile Safari"}


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """The whole product, started for this journey."""
    with running_product(tmp_path) as started:
        yield started


@pytest.fixture
def provider() -> Iterator[HttpSms]:
    """An SMS provider on this machine."""
    with HttpSms(secret="of reports") as started:
        yield started


def test_from_the_gateway_to_the_report(
    product: Product, provider: HttpSms, chromium: Browser, tmp_path: Path
) -> None:
    product.envoi("import", "customers", "--tenant", "shop", str(customers_file(tmp_path)))
    page = chromium.new_context(base_url=product.address, viewport=WIDE).new_page()
    sign_in(page, EMAIL, PASSWORD)
    set_up(page, provider)
    write(page)
    try_out(page, provider)
    send(page, provider)
    answer(page, provider)
    read_report(page)
    reply(page, provider)


def customers_file(folder: Path) -> Path:
    """Customers with mobile phones, and two with a landline, which takes no SMS."""
    lines = ["external_id,first_name,phone"]
    lines += [f"C-{n},Anna{n},+4915112345{n:03d}" for n in range(CUSTOMERS - LANDLINES)]
    lines += [f"L-{n},Bo{n},+493090182{n:02d}" for n in range(LANDLINES)]
    path = folder / "customers.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def set_up(page: Page, provider: HttpSms) -> None:
    """Follow the link of the channel that has no gateway, and tell the provider our address."""
    page.goto("/mailings/new")
    page.get_by_role("link", name="SMS", exact=True).click()
    page.goto("/settings/gateways/new?provider=http_sms")
    page.fill("[name='settings.url']", f"{provider.url}/send")
    page.fill("[name='settings.secret']", provider.key)
    page.fill("[name='settings.status_at']", "status")
    page.fill("[name='settings.taken']", "queued")
    page.fill("[name='settings.report_words']", "DELIVRD delivered\nUNDELIV failed")
    page.fill("[name='settings.report_secret']", provider.secret)
    page.fill("[name='settings.reply_phone_at']", "from")
    page.fill("[name='settings.reply_text_at']", "text")
    page.fill("[name='prices']", "+49 0.045")
    page.get_by_role("button", name="Save", exact=False).first.click()
    provider.webhook = (
        page.locator("#webhook-title").locator("xpath=../../..").locator("code").inner_text()
    )


def write(page: Page) -> None:
    page.goto("/mailings/new?channel=sms")
    page.fill("#name", "Points expire")
    page.select_option("#source", label="All customers")
    page.get_by_role("button", name="Create draft").click()
    expect(page.locator("#volume")).to_contain_text("landline")
    page.get_by_role("button", name="Continue to What").click()
    page.fill("#sender_name", "SHOP")
    page.fill("#text", "{{ client.properties.first_name }}, https://shop.test/points")
    page.get_by_label("Track clicks on links").check()
    expect(page.locator("#length")).to_contain_text("1 part, GSM-7")
    expect(page.locator("#length")).to_contain_text("costs €0.045")
    phone = page.frame_locator("iframe[name=preview]")
    expect(phone.locator("body")).to_contain_text("https://shop.test/points")


def try_out(page: Page, provider: HttpSms) -> None:
    page.get_by_role("link", name="Send test message").click()
    page.fill("#addresses", "0151 99 999 999")
    page.locator("dialog[open]").get_by_role("button", name="Send test message").click()
    expect(page.locator("#test-result")).to_contain_text("Sent", timeout=30_000)
    assert [taken.address for taken in provider.taken] == ["+4915199999999"]
    provider.taken.clear()
    page.locator("dialog[open]").get_by_role("button", name="Close").click()


def send(page: Page, provider: HttpSms) -> None:
    page.get_by_role("button", name="Continue to When and review").click()
    page.wait_for_url("**/when")
    page.get_by_role("button", name=re.compile(r"Send to 10 recipients")).first.click()
    page.locator("dialog[open]").get_by_role("button", name=re.compile("Send to")).click()
    page.wait_for_url("**/progress")
    wait_until(lambda: len(provider.taken) == 10, seconds=60, what="the last message")
    expect(page.locator("body")).to_contain_text("Sent", timeout=30_000)


def answer(page: Page, provider: HttpSms) -> None:
    """Eight arrive, two do not, and one customer follows the link."""
    for place, taken in enumerate(provider.taken):
        assert taken.sender == "SHOP"
        provider.report(taken, "DELIVRD" if place < 8 else "UNDELIV")
    link = re.search(r"http://\S+/s/\S+", provider.taken[0].text)
    assert link
    # A click within two seconds of the hand-over is a machine's.
    page.wait_for_timeout(3_000)
    assert httpx.get(link[0], headers=PERSON).headers["location"] == "https://shop.test/points"


def read_report(page: Page) -> None:
    report = page.url.replace("/progress", "/report")
    told = re.compile(r"Delivered\s*8\s.*Clicked\s*1 time\s*1\s", re.DOTALL)
    seen = [""]

    def shows_them() -> bool:
        page.goto(report)
        seen.append(page.locator("main").inner_text())
        return bool(told.search(seen[-1]))

    # The two come by different doors, and a report is of one moment.
    wait_until(shows_them, seconds=30, what="deliveries and the click in the report")
    assert "Opened" not in seen[-1]


def reply(page: Page, provider: HttpSms) -> None:
    """One asks, and one wants no more: the page of the gateway and the profile show both."""
    asks, stops = provider.taken[:2]
    provider.pass_on(asks, "Until when?")
    provider.pass_on(stops, "Stop!")
    page.goto("/settings/gateways")
    page.get_by_role("link", name=re.compile("Replies of customers")).click()

    def are_there() -> bool:
        page.reload()
        return "Until when?" in (shown := page.locator("main").inner_text()) and "Stop!" in shown

    wait_until(are_there, seconds=20, what="the replies")
    row = page.get_by_role("row").filter(has_text="Stop!")
    expect(row).to_contain_text("Opt-out")
    row.get_by_role("link").click()
    page.get_by_role("link", name="Timeline").click()
    expect(page.locator("main")).to_contain_text("Unsubscribed: SMS")
