//! `namespace(...)` of Jinja: an object whose attributes a template assigns, which is how values get
//! out of loops.
//!
//! It is the only thing in a template that can be changed, so the only thing through which a value
//! can grow from one turn of a loop to the next, or come to hold itself. The template engine writes,
//! compares and frees values by recursion and would overflow the stack on such a value. Ours takes
//! the place of the engine's: it keeps a copy of what is assigned, made of plain values only, and
//! refuses what is nested too deep or too large. The engine assigns to its own namespaces only;
//! [`super::dialect`] turns assignments into calls of [`set_attribute`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use minijinja::{
    Error, ErrorKind, Value,
    value::{Enumerator, Kwargs, Object, Tuple, ValueKind},
};

use super::MOST_OUTPUT;

/// The name by which translated templates call [`set_attribute`].
pub(super) const SET_ATTRIBUTE: &str = "__setattr__";
/// How deep lists and maps may be nested in an attribute.
const DEEPEST_VALUE: usize = 32;
/// How many values there may be in one attribute, with those inside of lists and maps.
const MOST_VALUES: usize = 100_000;

/// Attributes by name. None of them holds a namespace.
#[derive(Debug, Default)]
struct Namespace(Mutex<BTreeMap<Arc<str>, Value>>);

impl Namespace {
    fn attributes(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, name: &str, value: &Value) -> Result<(), Error> {
        let value = Copier::default().copy(value, 0).map_err(|refusal| {
            let detail = format!("the attribute {name} of a namespace cannot hold {refusal}");
            Error::new(ErrorKind::InvalidOperation, detail)
        })?;
        self.attributes().insert(name.into(), value);
        Ok(())
    }
}

impl Object for Namespace {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.attributes().get(key.as_str()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.attributes().keys().cloned().map(Value::from).collect())
    }
}

/// `namespace(values=none, **more)`: a namespace with these attributes.
pub(super) fn namespace(values: Option<&Value>, more: Kwargs) -> Result<Value, Error> {
    let namespace = Namespace::default();
    if let Some(values) = values {
        let pairs = values.as_object().filter(|_| values.kind() == ValueKind::Map);
        let pairs = pairs.and_then(|map| map.try_iter_pairs()).ok_or_else(|| {
            let detail = format!("expected a map or named arguments, got {}", values.kind());
            Error::new(ErrorKind::InvalidOperation, detail)
        })?;
        for (name, value) in pairs {
            if let Some(name) = name.as_str() {
                namespace.set(name, &value)?;
            }
        }
    }
    for name in more.args() {
        namespace.set(name, &more.peek(name)?)?;
    }
    Ok(Value::from_object(namespace))
}

/// What `{% set namespace.name = value %}` means.
pub(super) fn set_attribute(namespace: &Value, name: &str, value: &Value) -> Result<(), Error> {
    match namespace.downcast_object_ref::<Namespace>() {
        Some(namespace) => namespace.set(name, value),
        None => {
            let detail = format!("can only assign to namespaces, not {}", namespace.kind());
            Err(Error::new(ErrorKind::InvalidOperation, detail))
        }
    }
}

/// Copies values, and counts them. Whatever the engine would work out later becomes a list or a map
/// now: only what is known in full is known to be bounded. A refusal says what was found.
#[derive(Default)]
struct Copier {
    values: usize,
    bytes: usize,
}

impl Copier {
    fn copy(&mut self, value: &Value, depth: usize) -> Result<Value, String> {
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err(format!("more than {MOST_VALUES} values"));
        }
        match value.kind() {
            ValueKind::Undefined | ValueKind::None | ValueKind::Bool | ValueKind::Number => Ok(value.clone()),
            ValueKind::String | ValueKind::Bytes => self.copy_text(value),
            ValueKind::Seq | ValueKind::Iterable | ValueKind::Map if depth == DEEPEST_VALUE => {
                Err(format!("lists and maps nested deeper than {DEEPEST_VALUE} levels"))
            }
            ValueKind::Seq | ValueKind::Iterable => self.copy_list(value, depth + 1),
            ValueKind::Map => self.copy_map(value, depth + 1),
            other => Err(format!("a value of the kind {other}")),
        }
    }

    fn copy_text(&mut self, value: &Value) -> Result<Value, String> {
        self.bytes += value.as_bytes().map_or(0, <[u8]>::len);
        if self.bytes > MOST_OUTPUT {
            return Err(format!("more than {MOST_OUTPUT} bytes of text"));
        }
        Ok(value.clone())
    }

    fn copy_list(&mut self, value: &Value, depth: usize) -> Result<Value, String> {
        let items = value.try_iter().map_err(|error| error.to_string())?;
        let items: Vec<Value> = items.map(|item| self.copy(&item, depth)).collect::<Result<_, _>>()?;
        Ok(if value.is_tuple() { Value::from_object(Tuple::new(items)) } else { Value::from(items) })
    }

    fn copy_map(&mut self, value: &Value, depth: usize) -> Result<Value, String> {
        if value.downcast_object_ref::<Namespace>().is_some() {
            return Err("a namespace".to_owned());
        }
        let pairs = value.as_object().and_then(|map| map.try_iter_pairs()).into_iter().flatten();
        let copy = |(key, value)| Ok((self.copy(&key, depth)?, self.copy(&value, depth)?));
        pairs.map(copy).collect::<Result<Vec<(Value, Value)>, String>>().map(Value::from_pairs)
    }
}
