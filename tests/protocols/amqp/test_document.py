"""The page about AMQP says what the adapter does."""

from __future__ import annotations

from pathlib import Path

from protocols.amqp.document import NOTES, document
from protocols.amqp.methods import METHOD_NAMES

PAGE = Path(__file__).parents[3] / "docs" / "protocols" / "amqp.md"


def test_the_page_is_what_the_tables_say() -> None:
    """After a change that is meant: ``python -m protocols.amqp.document > docs/protocols/amqp.md``."""
    assert PAGE.read_text() == document()


def test_every_note_is_about_a_method() -> None:
    assert NOTES.keys() <= set(METHOD_NAMES.values())
