"""The search page finds what readers type: words of prose, of rules, of code."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

# what is typed → a section that has to be among the first results
QUESTIONS = [
    ("route_localnet", "route_localnet: 127.0.0.1 from a wire"),
    ("end of a chain RETURN", "RETURN, the end of a chain, and goto"),
    ("goto stack", "Goto puts nothing on the stack"),
    ("-A after a REJECT", "-A after a REJECT has no effect"),
    ("0x4000 0x8000", "What are 0x4000 and 0x8000?"),
    ("bridge-nf-call-iptables reply", "The reply that skips un-NAT"),
    ("which table", "Which table and chain for what?"),
    ("docker ports", "Docker’s ports and the firewall"),
    ("rule nobody reaches", "A rule that nobody reaches"),
    ("--dport", "A rule that nobody reaches"),
    ("--ctstate", "conntrack"),
    ("--hashlimit-above", "hashlimit"),
    ("connlimit", "connlimit"),
    ("KUBE-SEP", "One endpoint"),
    ("KUBE-EXT", "The Service’s rules, 1.21 against 1.30"),
    # packet, connection tracking, (source, destination) address translation, masquerade, hook, endpoint,
    # default policy, session affinity, bridge
    ("数据包", "Packets and hooks · 数据包与钩子"),
    ("连接跟踪", "Connections · 连接跟踪"),
    ("地址转换", "Connections · 连接跟踪"),
    ("源地址转换", "Connections · 连接跟踪"),
    ("目的地址转换", "Connections · 连接跟踪"),
    ("伪装", "Connections · 连接跟踪"),
    ("钩子", "Packets and hooks · 数据包与钩子"),
    ("端点", "Kubernetes · 服务与端点"),
    ("默认策略", "Rules · 规则"),
    ("会话保持", "Kubernetes · 服务与端点"),
    ("网桥", "Routing and links · 路由与链路"),
]


def titles(page) -> list[str]:
    page.locator(".book-search-status:not(:empty)").wait_for()
    return [link.inner_text() for link in page.locator(".book-search-found a").all()]


@pytest.mark.parametrize(("typed", "section"), QUESTIONS)
def test_what_is_asked_in_the_address_is_found(visit, typed, section):
    there = visit()
    page = there.open(f"search.html?q={typed.replace(' ', '+')}")
    assert section in titles(page)
    assert there.troubles == []


def test_a_result_leads_to_the_section(visit):
    there = visit()
    page = there.open("search.html?q=rule+nobody+reaches")
    titles(page)
    page.get_by_role("link", name="A rule that nobody reaches", exact=True).click()
    page.wait_for_url("**/03_iptables_command.html#a-rule-that-nobody-reaches")
    assert page.locator("h2", has_text="A rule that nobody reaches").is_visible()
    assert there.troubles == []


def test_typing_searches(visit):
    there = visit()
    page = there.open("search.html")
    page.keyboard.type("connmark")
    assert titles(page)
    page.keyboard.press("Control+a")
    page.keyboard.type("zzyzx")
    page.get_by_text("Nothing found").wait_for()
    assert page.url.endswith("?q=zzyzx")
    assert there.troubles == []


def test_what_is_typed_is_never_markup(visit):
    there = visit()
    page = there.open("search.html?q=<img+src=x+onerror=alert(1)>")
    titles(page)
    assert page.locator(".book-search-found img, .book-search-status img").count() == 0
    assert there.troubles == []


def test_from_the_disk_sphinx_answers(visit, html):
    there = visit(home=html.as_uri() + "/")
    page = there.open("search.html?q=MASQUERADE")
    page.locator("#search-results li a").first.wait_for()
    assert there.troubles == []
