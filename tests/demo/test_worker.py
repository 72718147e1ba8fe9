from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.demo.truck import Truck
from broker.demo.worker import read


def test_it_reads_what_a_truck_says() -> None:
    assert read(f"{Truck('truck', Random(1)).measure(1.0):.2f}".encode()) is not None


@pytest.mark.parametrize("body", [b"", b"nan", b"inf", b"-inf", b"warm", b'{"celsius": 4}', b"\xff", b"1\x00"])
def test_what_is_no_number_is_left_out(body: bytes) -> None:
    assert read(body) is None


@given(st.binary())
def test_nothing_raises(body: bytes) -> None:
    read(body)
