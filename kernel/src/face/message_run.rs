//! `MessageRun` for Python.

use std::borrow::Cow;
use std::sync::Arc;

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyTuple};

use crate::amqp::{death, properties};
use crate::asked_confirm;
use crate::conversion::header_lines;
use crate::conversion::topic::{queue_of, routing_key_of};
use crate::message_run::{flags, Facts, MessageRun, Origin, KEY_COUNT_MAX, NO_EXPIRATION};
use crate::run_builder::RunBuilder;

/// One message as `MessageRun.of` takes it and `rows` gives it: exchange, routing key, properties, body, flags,
/// expiration in ms.
type Row = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, u8, Option<u32>);

/// A publisher's run and the channel it came by.
#[pyclass(frozen, name = "MessageRun", module = "kernel")]
pub struct PyMessageRun {
    pub channel: u16,
    pub run: Arc<MessageRun>,
    flags: u8,
}

impl PyMessageRun {
    pub fn new(channel: u16, run: Arc<MessageRun>) -> Self {
        let flags = run.any_flags();
        Self {
            channel,
            run,
            flags,
        }
    }

    fn checked(&self, index: usize) -> PyResult<usize> {
        if index < self.run.entries.len() {
            Ok(index)
        } else {
            Err(PyIndexError::new_err("no such message"))
        }
    }
}

#[pymethods]
impl PyMessageRun {
    #[staticmethod]
    #[pyo3(signature = (channel, rows, origin = 0))]
    fn of(channel: u16, rows: Vec<Row>, origin: u8) -> PyResult<Self> {
        let origin = Origin::of(origin).ok_or_else(|| PyValueError::new_err("no such origin"))?;
        let (name_size_max, priority_of): (usize, fn(&[u8]) -> u8) = match origin {
            Origin::Amqp091 => (255, |encoded| {
                properties::read(encoded).map_or(0, |facts| facts.priority)
            }),
            Origin::Mqtt => (65_535, |_| 0),
            Origin::Stomp => (255, |encoded| {
                let priority = header_lines::get(encoded, b"priority");
                let priority = priority.as_deref().map(std::str::from_utf8);
                priority.map_or(0, |text| text.map_or(0, |text| text.parse().unwrap_or(0)))
            }),
        };
        let mut builder = RunBuilder::new(origin);
        for (exchange, routing_key, encoded, body, flags, expiration_ms) in &rows {
            if exchange.len() > 255 || routing_key.len() > name_size_max {
                return Err(PyValueError::new_err("a name is too long for its origin"));
            }
            let key = builder.key(exchange, routing_key);
            let facts = Facts {
                expiration_ms: expiration_ms.unwrap_or(NO_EXPIRATION),
                priority: priority_of(encoded),
                flags: *flags,
            };
            builder.push(key, encoded, body, facts);
        }
        Ok(Self::new(channel, Arc::new(builder.finish())))
    }

    /// Runs of one origin as one, in order.
    #[staticmethod]
    fn gathered(runs: Vec<PyRef<'_, Self>>) -> PyResult<Self> {
        let Some(first) = runs.first() else {
            return Err(PyValueError::new_err("no run"));
        };
        if runs.iter().any(|run| run.run.origin != first.run.origin) {
            return Err(PyValueError::new_err("runs of several origins"));
        }
        let each: Vec<Arc<MessageRun>> = runs.iter().map(|run| run.run.clone()).collect();
        let gathered = MessageRun::gathered(&each);
        if gathered.dictionary.len() > KEY_COUNT_MAX {
            return Err(PyValueError::new_err("too many keys for one run"));
        }
        Ok(Self::new(first.channel, Arc::new(gathered)))
    }

    #[getter]
    fn channel(&self) -> u16 {
        self.channel
    }

    #[getter]
    fn count(&self) -> usize {
        self.run.entries.len()
    }

    fn __len__(&self) -> usize {
        self.run.entries.len()
    }

    #[getter]
    fn size(&self) -> u64 {
        self.run.body_size()
    }

    #[getter]
    fn payload_size(&self) -> usize {
        self.run.payload_size()
    }

    #[getter]
    fn flags(&self) -> u8 {
        self.flags
    }

    #[getter]
    fn persistent(&self) -> bool {
        self.flags & flags::PERSISTENT != 0
    }

    #[getter]
    fn mandatory(&self) -> bool {
        self.flags & flags::MANDATORY != 0
    }

    /// As routing wants them, whatever the origin: a topic as the routing key of the same levels.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        (0..self.run.dictionary.len() as u32)
            .map(|key| {
                let name = self.run.routing_key(key);
                let exchange = PyBytes::new(py, self.run.exchange(key));
                if self.run.origin != Origin::Mqtt {
                    return PyTuple::new(py, [exchange, PyBytes::new(py, name)]);
                }
                if let Some(queue) = queue_of(name) {
                    return PyTuple::new(py, [PyBytes::new(py, b""), PyBytes::new(py, &queue)]);
                }
                let routing_key = PyBytes::new(py, &routing_key_of(name));
                if name.starts_with(b"$") {
                    let levels = [exchange.into_any(), routing_key.into_any()];
                    let hidden = PyBool::new(py, true).to_owned().into_any();
                    return PyTuple::new(
                        py,
                        levels.into_iter().chain([hidden]).collect::<Vec<_>>(),
                    );
                }
                PyTuple::new(py, [exchange, routing_key])
            })
            .collect()
    }

    #[getter]
    fn origin(&self) -> u8 {
        self.run.origin as u8
    }

    fn select(&self, keys: Vec<u32>) -> PyResult<Self> {
        if keys
            .iter()
            .any(|&key| key as usize >= self.run.dictionary.len())
        {
            return Err(PyIndexError::new_err("no such key"));
        }
        Ok(Self::new(self.channel, Arc::new(self.run.select(&keys))))
    }

    fn places(&self, keys: Vec<u32>) -> PyResult<Vec<u32>> {
        if keys
            .iter()
            .any(|&key| key as usize >= self.run.dictionary.len())
        {
            return Err(PyIndexError::new_err("no such key"));
        }
        Ok(self.run.places(&keys))
    }

    /// The messages from `index` on, with all keys of the run in their places.
    fn after(&self, index: usize) -> Self {
        let run = MessageRun {
            entries: self.run.entries[index.min(self.run.entries.len())..].to_vec(),
            ..MessageRun::clone(&self.run)
        };
        Self::new(self.channel, Arc::new(run))
    }

    /// The messages that must not vanish without a word.
    fn mandatory_only(&self) -> Self {
        let wanted = |_, entry: &crate::message_run::Entry| entry.flags & flags::MANDATORY != 0;
        Self::new(self.channel, Arc::new(self.run.filter(wanted)))
    }

    /// In a buffer of their own.
    fn compacted(&self) -> Self {
        Self::new(self.channel, Arc::new(self.run.compacted()))
    }

    fn before(&self, index: usize) -> Self {
        let count = index.min(self.run.entries.len());
        Self::new(self.channel, Arc::new(self.run.before(count)))
    }

    fn before_key(&self, key: u32) -> Self {
        let first = self.run.entries.iter().position(|entry| entry.key == key);
        self.before(first.unwrap_or(self.run.entries.len()))
    }

    fn first_with_flag(&self, flag: u8) -> Option<usize> {
        if self.flags & flag == 0 {
            return None;
        }
        self.run
            .entries
            .iter()
            .position(|entry| entry.flags & flag != 0)
    }

    /// The adapter refuses a user id that is not the login.
    fn first_with_other_user(&self, user: &[u8]) -> Option<usize> {
        if self.flags & flags::HAS_USER_ID == 0 {
            return None;
        }
        let user_id = |index: usize| -> Option<Cow<'_, [u8]>> {
            let encoded = self.run.properties(index);
            match self.run.origin {
                Origin::Amqp091 => {
                    properties::get(encoded, properties::flag::USER_ID).map(Cow::Borrowed)
                }
                Origin::Stomp => header_lines::get(encoded, b"user-id"),
                Origin::Mqtt => None,
            }
        };
        (0..self.run.entries.len()).find(|&index| {
            self.run.entries[index].flags & flags::HAS_USER_ID != 0
                && user_id(index).as_deref() != Some(user)
        })
    }

    fn confirms(&self) -> Option<Vec<(usize, i8)>> {
        asked_confirm::asked(&self.run)
    }

    fn cycling(&self, queue: &[u8]) -> Vec<usize> {
        if self.flags & flags::DEAD_LETTERED == 0 {
            return Vec::new();
        }
        death::cycling(&self.run, queue)
    }

    fn key(&self, index: usize) -> PyResult<u32> {
        Ok(self.run.entries[self.checked(index)?].key)
    }

    fn body<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.run.body(self.checked(index)?)))
    }

    fn properties<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.run.properties(self.checked(index)?)))
    }

    fn expiration_ms(&self, index: usize) -> PyResult<Option<u32>> {
        let expiration_ms = self.run.entries[self.checked(index)?].expiration_ms;
        Ok((expiration_ms != NO_EXPIRATION).then_some(expiration_ms))
    }

    fn priority(&self, index: usize) -> PyResult<u8> {
        Ok(self.run.entries[self.checked(index)?].priority)
    }

    #[allow(clippy::type_complexity)]
    fn rows<'py>(
        &self,
        py: Python<'py>,
    ) -> Vec<(
        Bound<'py, PyBytes>,
        Bound<'py, PyBytes>,
        Bound<'py, PyBytes>,
        Bound<'py, PyBytes>,
        u8,
        Option<u32>,
    )> {
        let entries = self.run.entries.iter().enumerate();
        entries
            .map(|(index, entry)| {
                (
                    PyBytes::new(py, self.run.exchange(entry.key)),
                    PyBytes::new(py, self.run.routing_key(entry.key)),
                    PyBytes::new(py, self.run.properties(index)),
                    PyBytes::new(py, self.run.body(index)),
                    entry.flags,
                    (entry.expiration_ms != NO_EXPIRATION).then_some(entry.expiration_ms),
                )
            })
            .collect()
    }

    fn __repr__(&self) -> String {
        let (count, keys) = (self.run.entries.len(), self.run.dictionary.len());
        format!(
            "<MessageRun channel={} count={count} keys={keys}>",
            self.channel
        )
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("NO_CONFIRM_ASKED", asked_confirm::NOT_ASKED)?;
    m.add("UNKNOWN_CONFIRM", asked_confirm::UNKNOWN)?;
    m.add("FLAG_PERSISTENT", flags::PERSISTENT)?;
    m.add("FLAG_MANDATORY", flags::MANDATORY)?;
    m.add("FLAG_HAS_USER_ID", flags::HAS_USER_ID)?;
    m.add("FLAG_BAD_EXPIRATION", flags::BAD_EXPIRATION)?;
    m.add("FLAG_DEAD_LETTERED", flags::DEAD_LETTERED)?;
    m.add("FLAG_EXACTLY_ONCE", flags::EXACTLY_ONCE)?;
    m.add("FLAG_RETAIN", flags::RETAIN)?;
    m.add("FLAG_REPLAYED", flags::REPLAYED)?;
    m.add("ORIGIN_AMQP", Origin::Amqp091 as u8)?;
    m.add("ORIGIN_MQTT", Origin::Mqtt as u8)?;
    m.add("ORIGIN_STOMP", Origin::Stomp as u8)?;
    m.add_class::<PyMessageRun>()
}
