//! STOMP's frames of `decoder.rs` for Python.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::decoder::SettleKind;
use crate::face::frame::PySettlement;
use crate::face::message_run::PyMessageRun;
use crate::stomp::receipt::SendReceipts;
use crate::stomp::run::Sends;

#[pyclass(frozen, name = "SendReceipts", module = "kernel")]
pub struct PySendReceipts(pub Arc<SendReceipts>);

#[pymethods]
impl PySendReceipts {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Index of the message, and its id.
    fn to_list<'py>(&self, py: Python<'py>) -> Vec<(u32, Bound<'py, PyBytes>)> {
        let numbers = 0..self.0.len();
        numbers
            .map(|number| (self.0.index(number), PyBytes::new(py, self.0.id(number))))
            .collect()
    }

    fn __repr__(&self) -> String {
        format!("<SendReceipts count={}>", self.0.len())
    }
}

#[pyclass(frozen, get_all, name = "Sends", module = "kernel")]
pub struct PySends {
    pub messages: Py<PyMessageRun>,
    pub kind: u8,
    pub receipts: Py<PySendReceipts>,
    pub transaction: Py<PyBytes>,
    pub parameters: Vec<(Py<PyBytes>, Py<PyBytes>)>,
    pub temp_queue: Py<PyBytes>,
}

impl PySends {
    pub fn of(py: Python<'_>, sends: Sends) -> PyResult<Self> {
        let bytes = |text: &[u8]| PyBytes::new(py, text).unbind();
        let likeness = sends.likeness;
        let parameters = likeness.parameters.iter();
        Ok(Self {
            messages: Py::new(py, PyMessageRun::new(0, Arc::new(sends.messages)))?,
            kind: likeness.kind as u8,
            receipts: Py::new(py, PySendReceipts(Arc::new(sends.receipts)))?,
            transaction: bytes(&likeness.transaction),
            parameters: parameters
                .map(|(name, value)| (bytes(name), bytes(value)))
                .collect(),
            temp_queue: bytes(&likeness.temp_queue),
        })
    }
}

#[pymethods]
impl PySends {
    fn __repr__(&self) -> String {
        let count = self.messages.get().run.entries.len();
        format!("<Sends kind={} count={count}>", self.kind)
    }
}

#[pyclass(frozen, eq, name = "StompFrame", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyStompFrame {
    command: Bytes,
    headers: Vec<(Bytes, Bytes)>,
    settlement: Option<PySettlement>,
}

impl PyStompFrame {
    pub fn of(
        command: &'static str,
        headers: Vec<(Bytes, Bytes)>,
        settled: Option<(u16, u64, SettleKind)>,
    ) -> Self {
        Self {
            command: Bytes::from_static(command.as_bytes()),
            headers,
            settlement: settled.map(|(channel, tag, kind)| PySettlement {
                channel,
                first: tag,
                last: tag,
                kind: kind.into(),
            }),
        }
    }
}

#[pymethods]
impl PyStompFrame {
    #[new]
    #[pyo3(signature = (command, headers, settlement = None))]
    fn new(
        command: &[u8],
        headers: Vec<(Vec<u8>, Vec<u8>)>,
        settlement: Option<&PySettlement>,
    ) -> Self {
        let headers = headers.into_iter();
        Self {
            command: Bytes::copy_from_slice(command),
            headers: headers.map(|(n, v)| (n.into(), v.into())).collect(),
            settlement: settlement.cloned(),
        }
    }

    #[getter]
    fn command<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.command)
    }

    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let headers = self.headers.iter();
        headers
            .map(|(name, value)| (PyBytes::new(py, name), PyBytes::new(py, value)))
            .collect()
    }

    #[getter]
    fn settlement(&self) -> Option<PySettlement> {
        self.settlement.clone()
    }

    fn __repr__(&self) -> String {
        let names = self.headers.iter().map(|(name, _)| name.escape_ascii());
        let names = names.map(|name| name.to_string()).collect::<Vec<_>>();
        // Values may be a passcode.
        format!(
            "<StompFrame {} headers={}>",
            self.command.escape_ascii(),
            names.join(",")
        )
    }
}

#[pyclass(frozen, eq, get_all, name = "Eols", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyEols {
    pub count: u32,
}

#[pymethods]
impl PyEols {
    #[new]
    fn new(count: u32) -> Self {
        Self { count }
    }

    fn __repr__(&self) -> String {
        format!("Eols(count={})", self.count)
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PySendReceipts>()?;
    m.add_class::<PySends>()?;
    m.add_class::<PyStompFrame>()?;
    m.add_class::<PyEols>()
}
