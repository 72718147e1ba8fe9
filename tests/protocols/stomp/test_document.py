"""The page about STOMP says what the adapter does."""

from __future__ import annotations

from pathlib import Path

from broker.model.refusals import Refusal
from protocols.stomp.document import document
from protocols.stomp.refusals import ERRORS

PAGE = Path(__file__).parents[3] / "docs" / "protocols" / "stomp.md"


def test_the_page_is_what_the_tables_say() -> None:
    """After a change that is meant: ``python -m protocols.stomp.document > docs/protocols/stomp.md``."""
    assert PAGE.read_text() == document()


def test_every_refusal_has_its_words() -> None:
    assert ERRORS.keys() == set(Refusal)
    for error in ERRORS.values():
        assert error.message.isascii()
        assert error.message.isprintable()
