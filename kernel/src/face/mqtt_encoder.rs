//! MQTT's encoders for Python.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::chunk::Chunk;
use crate::face::chunk::PyChunk;
use crate::face::delivery_run::PyDeliveryRun;
use crate::face::packet_ids::PyPacketIds;
use crate::mqtt::delivery_topics::DeliveryTopics;
use crate::mqtt::encoder::{encode, Grants, Shape};
use crate::mqtt::fan_out::{FanOut, Made, Wanted};
use crate::mqtt::grant::Grant;
use crate::mqtt::topic_aliases::TopicAliases;
use crate::mqtt::{ack, packet};

#[pyclass(frozen, eq, name = "Grant", module = "kernel")]
#[derive(PartialEq, Eq)]
pub struct PyGrant(Grant);

#[pymethods]
impl PyGrant {
    #[new]
    fn new(qos: u8, retain_as_published: bool, subscription_ids: Vec<u32>) -> PyResult<Self> {
        let grant = Grant::new(qos, retain_as_published, subscription_ids);
        grant.map(Self).map_err(PyValueError::new_err)
    }

    #[getter]
    fn qos(&self) -> u8 {
        self.0.qos
    }

    #[getter]
    fn retain_as_published(&self) -> bool {
        self.0.retain_as_published
    }

    #[getter]
    fn subscription_ids(&self) -> Vec<u32> {
        self.0.subscription_ids.clone()
    }

    fn __repr__(&self) -> String {
        format!(
            "Grant(qos={}, retain_as_published={}, subscription_ids={:?})",
            self.0.qos,
            if self.0.retain_as_published {
                "True"
            } else {
                "False"
            },
            self.0.subscription_ids
        )
    }
}

#[pyclass(name = "TopicAliases", module = "kernel")]
pub struct PyTopicAliases(TopicAliases);

#[pymethods]
impl PyTopicAliases {
    #[new]
    fn new(maximum: u16) -> Self {
        Self(TopicAliases::new(maximum))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

#[pyclass(frozen, name = "PublishEncoder", module = "kernel")]
pub struct PyPublishEncoder(Mutex<FanOut>);

impl PyPublishEncoder {
    fn lock(&self) -> MutexGuard<'_, FanOut> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same as was made for another of its class, or newly encoded.
    fn shared(&self, py: Python<'_>, wanted: &Wanted) -> (PyChunk, Vec<u32>) {
        let found = self.lock().find(wanted).cloned();
        if let Some(made) = found {
            let wire = py.detach(|| made.with_ids(wanted.packet_ids));
            return (PyChunk::new(Chunk(wire)), made.left_out.to_vec());
        }
        let grants = Grants::One(wanted.grant);
        let encoded = py.detach(|| {
            encode(
                wanted.run,
                grants,
                wanted.packet_ids,
                wanted.shape,
                wanted.now_ms,
                None,
            )
        });
        let made = Made::new(encoded);
        let chunk = PyChunk::new(Chunk(made.wire.clone()));
        let left_out = made.left_out.to_vec();
        if let Some(class) = wanted.class() {
            self.lock().insert(class, made);
        }
        (chunk, left_out)
    }
}

#[pymethods]
impl PyPublishEncoder {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(FanOut::default()))
    }

    #[pyo3(signature = (deliveries, *, version, grants, packet_ids, now_ms, packet_size_max, aliases))]
    #[allow(clippy::too_many_arguments)] // all named
    fn encode(
        &self,
        py: Python<'_>,
        deliveries: &PyDeliveryRun,
        version: u8,
        grants: &Bound<'_, PyAny>,
        packet_ids: Option<&PyPacketIds>,
        now_ms: u64,
        packet_size_max: usize,
        aliases: Option<PyRefMut<'_, PyTopicAliases>>,
    ) -> PyResult<(PyChunk, Vec<u32>)> {
        check_version(version)?;
        let run = &*deliveries.run;
        let packet_ids = packet_ids.map(|ids| &ids.0[..]);
        if packet_ids.is_some_and(|ids| ids.len() != run.count()) {
            return Err(PyValueError::new_err("a packet identifier for each"));
        }
        let mut aliases = aliases;
        let aliases = aliases.as_deref_mut().map(|aliases| &mut aliases.0);
        if aliases.is_some() && version < 5 {
            return Err(PyValueError::new_err("topic aliases are MQTT 5's"));
        }
        let shape = Shape {
            version,
            packet_size_max,
        };
        let aliased = aliases.is_some();
        let encode_with = |grants| {
            let encoded = encode(run, grants, packet_ids, shape, now_ms, aliases);
            (PyChunk::new(Chunk(encoded.wire.into())), encoded.left_out)
        };
        if let Ok(grant) = grants.cast::<PyGrant>() {
            let grant = &grant.get().0;
            let wanted = Wanted {
                run,
                grant,
                packet_ids,
                shape,
                now_ms,
            };
            if !aliased {
                return Ok(self.shared(py, &wanted));
            }
            return Ok(encode_with(Grants::One(grant)));
        }
        let grants: Vec<Py<PyGrant>> = grants
            .extract()
            .map_err(|_| PyTypeError::new_err("grants are a Grant, or one for each topic"))?;
        let topics = DeliveryTopics::of(run);
        if grants.len() != topics.topics.len() {
            return Err(PyValueError::new_err("a grant for each topic"));
        }
        let grants: Vec<&Grant> = grants.iter().map(|grant| &grant.get().0).collect();
        Ok(encode_with(Grants::ByTopic(&topics, &grants)))
    }

    #[getter]
    fn held(&self) -> usize {
        self.lock().size()
    }
}

#[pyfunction]
fn encode_acks<'py>(
    py: Python<'py>,
    kind: u8,
    packet_ids: &PyPacketIds,
    reason: u8,
    version: u8,
) -> PyResult<Bound<'py, PyBytes>> {
    check_version(version)?;
    if !(packet::PUBACK..=packet::PUBCOMP).contains(&kind) {
        let text = "an acknowledgement is of kind 4 (PUBACK) to 7 (PUBCOMP)";
        return Err(PyValueError::new_err(text));
    }
    if !ack::reasons_of(kind).contains(&reason) {
        let text = format!("{} has no reason code {reason:#04x}", packet::name(kind));
        return Err(PyValueError::new_err(text));
    }
    let encoded = ack::encode(kind, &packet_ids.0, reason, version);
    Ok(PyBytes::new(py, &encoded))
}

fn check_version(version: u8) -> PyResult<()> {
    if (3..=5).contains(&version) {
        Ok(())
    } else {
        Err(PyValueError::new_err("a version is 3, 4 or 5"))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyGrant>()?;
    m.add_class::<PyTopicAliases>()?;
    m.add_class::<PyPublishEncoder>()?;
    m.add_function(wrap_pyfunction!(encode_acks, m)?)
}
