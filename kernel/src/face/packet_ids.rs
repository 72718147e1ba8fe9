//! `PacketIds` for Python.

use pyo3::prelude::*;

/// MQTT's packet identifiers, in order.
#[pyclass(frozen, eq, name = "PacketIds", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyPacketIds(pub Vec<u16>);

#[pymethods]
impl PyPacketIds {
    #[staticmethod]
    fn of(packet_ids: Vec<u16>) -> Self {
        Self(packet_ids)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn to_list(&self) -> Vec<u16> {
        self.0.clone()
    }

    fn __repr__(&self) -> String {
        format!("PacketIds.of({:?})", self.0)
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyPacketIds>()
}
