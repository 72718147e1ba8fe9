"""The native module, as Python sees it.  Each class's rules stand in the Rust file of the same name."""

from typing import Final

BUILD_PROFILE: Final[str]
