"""The demo's page: what a strict Content-Security-Policy, a screen reader and a machine without a network need."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "broker" / "admin" / "pages" / "demo"
SCRIPTS = sorted(PAGE.glob("*.js"))
LABELLED = {"input", "select", "textarea"}


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def values(self, tag: str, attribute: str) -> list[str]:
        return [value for name, found in self.found if name == tag and (value := found.get(attribute)) is not None]


INDEX = Elements((PAGE / "index.html").read_text())


def test_nothing_is_inline() -> None:
    for tag, attributes in INDEX.found:
        assert tag != "style"
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert tag != "script" or attributes.get("src"), tag


def test_whatever_it_refers_to_is_its_own() -> None:
    referred = INDEX.values("script", "src") + INDEX.values("link", "href") + INDEX.values("img", "src")
    assert referred
    for path in referred:
        assert path.startswith("vendor/") or (PAGE / path).is_file(), path


@pytest.mark.parametrize("path", SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_a_script_imports_and_sets_nothing_that_the_policy_forbids(path: Path) -> None:
    text = path.read_text()
    for imported in re.findall(r"(?:from |import\()'([^']+)'", text):
        assert imported.startswith("./vendor/") or (PAGE / imported).is_file(), imported
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|setAttribute\('style'", text
    )
    assert not re.findall(r"https?://(?!www\.w3\.org/)", text)


def test_every_field_has_a_label_and_every_id_is_there_once() -> None:
    ids = [attributes["id"] for _, attributes in INDEX.found if "id" in attributes]
    assert len(set(ids)) == len(ids)
    labels = INDEX.values("label", "for")
    for tag, attributes in INDEX.found:
        assert tag not in LABELLED or attributes.get("id") in labels, attributes
        for name in ("aria-labelledby", "for"):
            assert attributes.get(name) is None or attributes[name] in ids, attributes


def test_scripts_ask_for_elements_that_are_there() -> None:
    ids = {attributes["id"] for _, attributes in INDEX.found if "id" in attributes}
    asked = {
        name
        for path in SCRIPTS
        for name in re.findall(r"(?:element\(|querySelector\('#)'?([\w-]+)'\)", path.read_text())
    }
    assert len(asked) > 10
    assert asked <= ids
