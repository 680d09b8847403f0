"""The whole journey of a marketer, from signing in to the report, in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from looking import sign_in
from processes import wait_until
from product import EMAIL, PASSWORD, Product, running_product

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CUSTOMERS = 60
TEXT = "Hello {{ client.properties.first_name | default('there') }}, coffee is cheaper."


def customers_file(folder: Path) -> Path:
    """Sixty customers: two without an address, three who opted out, two women at one address."""
    lines = ["external_id,first_name,last_name,gender,birth_date,email,subscribed_email"]
    for n in range(CUSTOMERS):
        email = "" if n < 2 else f"person{n if n != 11 else 10}@mail.test"
        opted_out = "N" if 2 <= n < 5 else ""
        lines.append(f"C-{n},Anna{n},Lind,F,1990-05-01,{email},{opted_out}")
    path = folder / "customers.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def receipts_file(folder: Path) -> Path:
    """One receipt for each of the first fifty customers, a year ago: outside every window."""
    lines = ["receipt_id,customer_id,at,product_id,product_name,category,quantity,amount"]
    lines += [f"R-{n},C-{n},2025-11-01T10:00:00+01:00,1,Coffee,Drinks,1,9.99" for n in range(50)]
    path = folder / "receipts.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    """The whole product, started for this journey."""
    with running_product(tmp_path) as started:
        yield started


def test_from_signing_in_to_the_report(product: Product, chromium: Browser, tmp_path: Path) -> None:
    page = chromium.new_context(
        base_url=product.address, viewport={"width": 1440, "height": 1000}
    ).new_page()
    sign_in(page, EMAIL, PASSWORD)
    import_file(page, "customers", customers_file(tmp_path))
    import_file(page, "receipts", receipts_file(tmp_path))
    build_segment(page)
    write_mailing(page)
    send(page)
    wait_until(lambda: len(product.sink.recipients) >= 49, seconds=60, what="the last message")
    expect(page.locator("body")).to_contain_text("Sent", timeout=30_000)
    open_and_click(product)
    read_report(page)


def import_file(page: Page, kind: str, path: Path) -> None:
    page.goto("/customers/import")
    page.check(f"input[name=kind][value={kind}]", force=True)
    page.set_input_files("input[type=file]", path)
    page.get_by_role("button", name="Upload file").click()
    page.get_by_role("button", name="Check file").click()
    page.get_by_role("button", name=re.compile(r"Import \d+ rows")).click(timeout=30_000)
    expect(page.locator("main")).to_contain_text("Done", timeout=30_000)


def build_segment(page: Page) -> None:
    page.goto("/segments/new")
    page.fill("#name", "Women")
    page.locator("summary", has_text="Add condition").click()
    page.get_by_label("What the new condition is about").select_option(label="Gender")
    page.get_by_role("button", name="Add this condition").click()
    page.get_by_label(re.compile("Gender: Value")).select_option(label="female")
    expect(page.locator("#result")).to_contain_text(str(CUSTOMERS))
    page.get_by_role("button", name="Save segment").click()
    page.wait_for_url(re.compile(r"/segments/\d*$"))


def write_mailing(page: Page) -> None:
    page.goto("/mailings/new")
    page.fill("#name", "Coffee week")
    page.select_option("#source", label="Women")
    page.get_by_role("button", name="Create draft").click()
    volume = page.locator("#volume")
    expect(volume).to_contain_text("Recipients")
    page.fill("#control_share", "10")
    page.locator("#control_share").press("Tab")
    expect(volume).to_contain_text("Control group")
    page.get_by_role("button", name="Continue to What").click()
    page.fill("#subject", "{{ client.properties.first_name }}, your coffee is waiting")
    add_block(page, "Text")
    page.locator("[id='block.html-page']").fill(TEXT)
    add_block(page, "Button")
    page.locator("[id='block.label']").fill("Choose your coffee")
    page.locator("[id='block.link']").fill("https://shop.fieldmarket.test/coffee")
    add_block(page, "Footer")
    page.fill("#sender_address", "club@fieldmarket.test")
    preview = page.frame_locator("iframe[name=preview]")
    expect(preview.locator("body")).to_contain_text("coffee is cheaper")
    page.get_by_role("button", name="Continue to When and review").click()
    page.wait_for_url("**/when")


def add_block(page: Page, kind: str) -> None:
    """Add a block and wait for its form."""
    page.locator("#add-block").click()
    page.get_by_role("button", name=kind, exact=True).click()
    expect(page.locator("#settings-title")).to_have_text(kind)


def send(page: Page) -> None:
    button = page.get_by_role("button", name=re.compile(r"Send to \d+ recipients"))
    button.first.click()
    page.locator("dialog[open]").get_by_role("button", name=re.compile("Send to")).click()
    page.wait_for_url("**/progress")


def open_and_click(product: Product) -> None:
    message = message_from_bytes(product.sink.received[0].data, policy=default)
    assert isinstance(message, EmailMessage)
    body = message.get_body(("html",))
    assert body is not None
    html = body.get_content()
    assert re.search(r"Hello Anna\d+, coffee is cheaper", html)
    pixel = re.search(r"http://[^\s\"<>]+/o/[^\s\"<>]+", html)
    link = re.search(r"http://[^\s\"<>]+/c/[^\s\"<>]+", html)
    assert pixel
    assert link
    # Whoever opens within two seconds of the recorded acceptance counts as a machine.
    wait_until(lambda: time.time() - product.sink.received[-1].at > 7, what="a person's pace")
    agent = {"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Gecko/20100101 Firefox/146.0"}
    assert httpx.get(pixel[0], headers=agent).status_code == 200
    answer = httpx.get(link[0], headers=agent)
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://shop.fieldmarket.test/coffee"


def read_report(page: Page) -> None:
    report = page.url.replace("/progress", "/report")
    reacted = re.compile(r"Opened\s*1 times?\s*1.*Clicked\s*1 times?\s*1", re.DOTALL)

    def shows_open_and_click() -> bool:
        page.goto(report)
        return bool(reacted.search(page.locator("main").inner_text()))

    # The two are written one after the other, and a report is of one moment.
    wait_until(shows_open_and_click, seconds=20, what="open and click in the report")
    main = page.locator("main")
    for line in ("Duplicate address", "Address issue", "Unsubscribed from channel"):
        expect(main).to_contain_text(line)
