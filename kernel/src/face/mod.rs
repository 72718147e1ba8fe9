//! The Python face: converts values and maps errors, decides nothing.

mod topic_trie;

use pyo3::prelude::*;

/// Which profile this kernel was built with; benchmarks refuse "debug".
const BUILD_PROFILE: &str = if cfg!(debug_assertions) {
    "debug"
} else {
    "release"
};

#[pymodule]
fn _kernel(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("BUILD_PROFILE", BUILD_PROFILE)?;
    topic_trie::register(m)?;
    Ok(())
}
