//! Mutates JSON as JSON: a file that no longer parses says little about the code behind the parser.
//!
//! A string that holds JSON itself, as in the metadata of a checkpoint, counts as what it holds.

use serde_json::{Number, Value, json};

use crate::random::Random;

/// A custom mutator for targets whose input is JSON. Changes a few values of `data[..size]` and
/// returns the new size, at most `max_size`. What is not JSON, or once in sixteen times, goes to
/// `bytes`, the mutator that knows nothing of JSON.
pub fn mutate(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let random = &mut Random::new(seed);
    let Ok(mut value) = serde_json::from_slice::<Value>(&data[..size]) else {
        return bytes(data, size, max_size);
    };
    if random.once_in(16) {
        return bytes(data, size, max_size);
    }
    for _ in 0..=random.below(3) {
        mutate_value(&mut value, random);
    }
    store(&value, data, max_size).unwrap_or(size)
}

/// Writes a value to the front of `data` where it fits, and returns its length.
pub(crate) fn store(value: &Value, data: &mut [u8], max_size: usize) -> Option<usize> {
    let text = value.to_string();
    let place = data.get_mut(..text.len()).filter(|place| place.len() <= max_size)?;
    place.copy_from_slice(text.as_bytes());
    Some(text.len())
}

/// Changes one of the values inside of a value, or the value itself.
pub(crate) fn mutate_value(root: &mut Value, random: &mut Random) {
    let donor = node(root, random.below(count(root))).cloned().unwrap_or_default();
    let index = random.below(count(root));
    change_node(root, index, &mut |value| change(value, &donor, random));
}

/// A string that holds an object or a list as JSON.
pub(crate) fn nested(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(|value: &Value| value.is_object() || value.is_array())
}

/// The values inside of a value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

/// The value of this number, in reading order.
fn node(value: &Value, index: usize) -> Option<&Value> {
    let mut left = index;
    if left == 0 {
        return Some(value);
    }
    left -= 1;
    let children: Vec<&Value> = match value {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    for child in children {
        let inside = count(child);
        if left < inside {
            return node(child, left);
        }
        left -= inside;
    }
    None
}

/// Hands the value of this number, in the order of [`node`], to `change`.
fn change_node(value: &mut Value, index: usize, change: &mut dyn FnMut(&mut Value)) {
    let mut left = index;
    if left == 0 {
        return change(value);
    }
    left -= 1;
    let children: Vec<&mut Value> = match value {
        Value::Object(fields) => fields.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    };
    for child in children {
        let inside = count(child);
        if left < inside {
            return change_node(child, left, change);
        }
        left -= inside;
    }
}

fn change(value: &mut Value, donor: &Value, random: &mut Random) {
    if random.once_in(6) {
        *value = random.pick(&[donor.clone(), Value::Null, json!([]), json!({}), json!("")]).clone();
        return;
    }
    match value {
        Value::Null => *value = donor.clone(),
        Value::Bool(flag) => *flag = !*flag,
        Value::Number(number) => *value = change_number(number, donor, random),
        Value::String(text) => change_string(text, donor, random),
        Value::Array(items) => change_list(items, donor, random),
        Value::Object(fields) => change_fields(fields, donor, random),
    }
}

fn change_number(number: &Number, donor: &Value, random: &mut Random) -> Value {
    let whole = number.as_u64().unwrap_or(0);
    match random.below(8) {
        0 => json!(whole.wrapping_add(1)),
        1 => json!(whole.wrapping_sub(1)),
        2 => json!(whole.wrapping_mul(2)),
        3 => json!(whole / 2),
        4 => json!(-number.as_f64().unwrap_or(1.0)),
        5 => json!(1_u64 << random.below(64)),
        6 if donor.is_number() => donor.clone(),
        _ => random
            .pick(&[
                json!(0),
                json!(1),
                json!(64),
                json!(u64::MAX),
                json!(i64::MIN),
                json!(1e-300),
                json!(1e300),
            ])
            .clone(),
    }
}

fn change_string(text: &mut String, donor: &Value, random: &mut Random) {
    if let Some(mut inside) = nested(text) {
        mutate_value(&mut inside, random);
        *text = inside.to_string();
        return;
    }
    match (random.below(5), donor) {
        (0, Value::String(other)) => text.clone_from(other),
        (1, Value::String(other)) => text.push_str(other),
        (2, _) => text.clear(),
        (3, _) => {
            let kept = text.chars().count() / 2;
            *text = text.chars().take(kept).collect();
        }
        (_, _) => text.push(*random.pick(&['0', '9', '.', '-', 'a', '\0', '\u{fffd}', '\u{1f600}'])),
    }
}

fn change_list(items: &mut Vec<Value>, donor: &Value, random: &mut Random) {
    let place = random.below(items.len() + 1);
    match items.get(place).cloned() {
        Some(_) if random.once_in(3) => drop(items.remove(place)),
        Some(item) if random.once_in(2) => items.insert(place, item),
        _ => items.insert(place, donor.clone()),
    }
}

fn change_fields(fields: &mut serde_json::Map<String, Value>, donor: &Value, random: &mut Random) {
    let names: Vec<String> = fields.keys().cloned().collect();
    if names.is_empty() {
        fields.insert("name".to_owned(), donor.clone());
        return;
    }
    let (name, other) = (random.pick(&names), random.pick(&names));
    match random.below(3) {
        0 => drop(fields.remove(name)),
        1 => drop(fields.insert(name.clone(), fields[other].clone())),
        _ => drop(fields.insert(format!("{name}_"), donor.clone())),
    }
}
