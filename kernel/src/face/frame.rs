//! The frames of `decoder.rs` for Python: one small class each.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::decoder::{self, Frame};
use crate::face::message_run::PyMessageRun;
use crate::face::packet_ids::PyPacketIds;
use crate::face::stomp_frame::{PyEols, PySends, PyStompFrame};

#[pyclass(
    frozen,
    eq,
    hash,
    from_py_object,
    name = "SettleKind",
    module = "kernel",
    rename_all = "SCREAMING_SNAKE_CASE"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PySettleKind {
    Ack,
    Nack,
    NackRequeue,
    Reject,
    RejectRequeue,
}

impl From<decoder::SettleKind> for PySettleKind {
    fn from(kind: decoder::SettleKind) -> Self {
        match kind {
            decoder::SettleKind::Ack => Self::Ack,
            decoder::SettleKind::Nack => Self::Nack,
            decoder::SettleKind::NackRequeue => Self::NackRequeue,
            decoder::SettleKind::Reject => Self::Reject,
            decoder::SettleKind::RejectRequeue => Self::RejectRequeue,
        }
    }
}

#[pyclass(frozen, eq, get_all, name = "Settlement", module = "kernel")]
#[derive(Clone, PartialEq, Eq)]
pub struct PySettlement {
    pub channel: u16,
    pub first: u64,
    pub last: u64,
    pub kind: PySettleKind,
}

#[pymethods]
impl PySettlement {
    #[new]
    fn new(channel: u16, first: u64, last: u64, kind: PySettleKind) -> Self {
        Self {
            channel,
            first,
            last,
            kind,
        }
    }

    fn __repr__(&self) -> String {
        format!(
            "Settlement(channel={}, first={}, last={}, kind={:?})",
            self.channel, self.first, self.last, self.kind
        )
    }
}

#[pyclass(frozen, eq, name = "Method", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyMethod {
    #[pyo3(get)]
    pub channel: u16,
    #[pyo3(get)]
    pub class_id: u16,
    #[pyo3(get)]
    pub method_id: u16,
    pub arguments: Bytes,
}

#[pymethods]
impl PyMethod {
    #[new]
    fn new(channel: u16, class_id: u16, method_id: u16, arguments: &[u8]) -> Self {
        Self {
            channel,
            class_id,
            method_id,
            arguments: Bytes::copy_from_slice(arguments),
        }
    }

    #[getter]
    fn arguments<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.arguments)
    }

    fn __repr__(&self) -> String {
        format!(
            "Method(channel={}, class_id={}, method_id={}, arguments=b\"{}\")",
            self.channel,
            self.class_id,
            self.method_id,
            self.arguments.escape_ascii()
        )
    }
}

#[pyclass(frozen, eq, name = "ProtocolHeader", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyProtocolHeader {
    data: [u8; 8],
}

#[pymethods]
impl PyProtocolHeader {
    #[new]
    fn new(data: [u8; 8]) -> Self {
        Self { data }
    }

    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.data)
    }

    fn __repr__(&self) -> String {
        format!("ProtocolHeader(b\"{}\")", self.data.escape_ascii())
    }
}

#[pyclass(frozen, eq, name = "Heartbeat", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyHeartbeat;

#[pymethods]
impl PyHeartbeat {
    #[new]
    fn new() -> Self {
        Self
    }

    #[allow(clippy::unused_self)]
    fn __repr__(&self) -> &'static str {
        "Heartbeat()"
    }
}

#[pyclass(frozen, eq, name = "Violation", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyViolation {
    #[pyo3(get)]
    pub code: u16,
    #[pyo3(get)]
    pub text: String,
    #[pyo3(get)]
    pub channel: u16,
    #[pyo3(get)]
    pub class_id: u16,
    #[pyo3(get)]
    pub method_id: u16,
    #[pyo3(get)]
    pub connection: bool,
    receipt_id: Bytes,
}

#[pymethods]
impl PyViolation {
    #[new]
    #[pyo3(
        signature = (code, text, channel, class_id, method_id, connection, receipt_id = &b""[..]),
        text_signature = "(code, text, channel, class_id, method_id, connection, receipt_id=b'')"
    )]
    #[allow(clippy::too_many_arguments)]
    fn new(
        code: u16,
        text: String,
        channel: u16,
        class_id: u16,
        method_id: u16,
        connection: bool,
        receipt_id: &[u8],
    ) -> Self {
        Self {
            code,
            text,
            channel,
            class_id,
            method_id,
            connection,
            receipt_id: Bytes::copy_from_slice(receipt_id),
        }
    }

    #[getter]
    fn receipt_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.receipt_id)
    }

    fn __repr__(&self) -> String {
        format!(
            "Violation(code={}, text={:?}, channel={}, class_id={}, method_id={}, connection={}{})",
            self.code,
            self.text,
            self.channel,
            self.class_id,
            self.method_id,
            if self.connection { "True" } else { "False" },
            match &self.receipt_id[..] {
                b"" => String::new(),
                id => format!(", receipt_id=b\"{}\"", id.escape_ascii()),
            }
        )
    }
}

#[pyclass(frozen, get_all, name = "Publishes", module = "kernel")]
pub struct PyPublishes {
    pub qos: u8,
    pub messages: Py<PyMessageRun>,
    pub packet_ids: Py<PyPacketIds>,
}

#[pymethods]
impl PyPublishes {
    #[new]
    fn new(qos: u8, messages: Py<PyMessageRun>, packet_ids: Py<PyPacketIds>) -> Self {
        Self {
            qos,
            messages,
            packet_ids,
        }
    }

    fn __repr__(&self) -> String {
        let count = self.messages.get().run.entries.len();
        format!("<Publishes qos={} count={count}>", self.qos)
    }
}

#[pyclass(frozen, eq, name = "Acks", module = "kernel")]
pub struct PyAcks {
    #[pyo3(get)]
    pub kind: u8,
    #[pyo3(get)]
    pub reason: u8,
    #[pyo3(get)]
    pub packet_ids: Py<PyPacketIds>,
}

impl PartialEq for PyAcks {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, self.reason) == (other.kind, other.reason)
            && self.packet_ids.get() == other.packet_ids.get()
    }
}

#[pymethods]
impl PyAcks {
    #[new]
    fn new(kind: u8, reason: u8, packet_ids: Py<PyPacketIds>) -> Self {
        Self {
            kind,
            reason,
            packet_ids,
        }
    }

    fn __repr__(&self) -> String {
        format!(
            "Acks(kind={}, reason={}, packet_ids={:?})",
            self.kind,
            self.reason,
            self.packet_ids.get().0
        )
    }
}

#[pyclass(frozen, eq, name = "Packet", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyPacket {
    #[pyo3(get)]
    pub kind: u8,
    #[pyo3(get)]
    pub flags: u8,
    pub body: Bytes,
}

#[pymethods]
impl PyPacket {
    #[new]
    fn new(kind: u8, flags: u8, body: &[u8]) -> Self {
        Self {
            kind,
            flags,
            body: Bytes::copy_from_slice(body),
        }
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.body)
    }

    fn __repr__(&self) -> String {
        format!(
            "Packet(kind={}, flags={}, body=b\"{}\")",
            self.kind,
            self.flags,
            self.body.escape_ascii()
        )
    }
}

#[pyclass(frozen, eq, name = "Data", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyData {
    pub data: Bytes,
}

#[pymethods]
impl PyData {
    #[new]
    fn new(data: &[u8]) -> Self {
        let data = Bytes::copy_from_slice(data);
        Self { data }
    }

    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.data)
    }

    fn __repr__(&self) -> String {
        format!("Data(b\"{}\")", self.data.escape_ascii())
    }
}

#[pyclass(frozen, eq, name = "Control", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyControl {
    #[pyo3(get)]
    pub opcode: u8,
    pub payload: Bytes,
}

#[pymethods]
impl PyControl {
    #[new]
    fn new(opcode: u8, payload: &[u8]) -> Self {
        let payload = Bytes::copy_from_slice(payload);
        Self { opcode, payload }
    }

    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.payload)
    }

    fn __repr__(&self) -> String {
        format!(
            "Control(opcode={}, payload=b\"{}\")",
            self.opcode,
            self.payload.escape_ascii()
        )
    }
}

/// The Python object of one frame.
pub fn to_python(py: Python<'_>, frame: Frame) -> PyResult<Bound<'_, PyAny>> {
    Ok(match frame {
        Frame::Messages { channel, run } => {
            Bound::new(py, PyMessageRun::new(channel, Arc::new(run)))?.into_any()
        }
        Frame::Settlement {
            channel,
            first,
            last,
            kind,
        } => Bound::new(py, PySettlement::new(channel, first, last, kind.into()))?.into_any(),
        Frame::Method {
            channel,
            class,
            method,
            arguments,
        } => Bound::new(
            py,
            PyMethod {
                channel,
                class_id: class,
                method_id: method,
                arguments,
            },
        )?
        .into_any(),
        Frame::ProtocolHeader { bytes } => {
            Bound::new(py, PyProtocolHeader { data: bytes })?.into_any()
        }
        Frame::Heartbeat => Bound::new(py, PyHeartbeat)?.into_any(),
        Frame::Publishes {
            qos,
            messages,
            packet_ids,
        } => {
            let messages = Py::new(py, PyMessageRun::new(0, Arc::new(messages)))?;
            let packet_ids = Py::new(py, PyPacketIds(packet_ids))?;
            Bound::new(py, PyPublishes::new(qos, messages, packet_ids))?.into_any()
        }
        Frame::Acks {
            kind,
            reason,
            packet_ids,
        } => {
            let packet_ids = Py::new(py, PyPacketIds(packet_ids))?;
            Bound::new(py, PyAcks::new(kind, reason, packet_ids))?.into_any()
        }
        Frame::Packet { kind, flags, body } => {
            Bound::new(py, PyPacket { kind, flags, body })?.into_any()
        }
        Frame::Data { data } => Bound::new(py, PyData { data })?.into_any(),
        Frame::Control { opcode, payload } => {
            Bound::new(py, PyControl { opcode, payload })?.into_any()
        }
        Frame::Sends(sends) => Bound::new(py, PySends::of(py, *sends)?)?.into_any(),
        Frame::Stomp {
            command,
            headers,
            settled,
        } => Bound::new(py, PyStompFrame::of(command, headers, settled))?.into_any(),
        Frame::Eols { count } => Bound::new(py, PyEols { count })?.into_any(),
        Frame::Violation(violation) => Bound::new(
            py,
            PyViolation {
                code: violation.code,
                text: violation.text,
                channel: violation.channel,
                class_id: violation.class,
                method_id: violation.method,
                connection: violation.connection,
                receipt_id: violation.receipt_id.into(),
            },
        )?
        .into_any(),
    })
}

/// A list of frames' Python objects.
pub fn all_to_python(py: Python<'_>, frames: Vec<Frame>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for frame in frames {
        list.append(to_python(py, frame)?)?;
    }
    Ok(list)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PySettleKind>()?;
    m.add_class::<PySettlement>()?;
    m.add_class::<PyMethod>()?;
    m.add_class::<PyProtocolHeader>()?;
    m.add_class::<PyHeartbeat>()?;
    m.add_class::<PyPublishes>()?;
    m.add_class::<PyAcks>()?;
    m.add_class::<PyPacket>()?;
    m.add_class::<PyData>()?;
    m.add_class::<PyControl>()?;
    m.add_class::<PyViolation>()
}
