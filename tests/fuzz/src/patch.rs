//! Patches of a valid JSON document: an input that says only what is different stays short, reads
//! well in the corpus, and follows the document when the format moves on.

use serde_json::{Map, Value};

use crate::{
    json::{mutate_value, nested, store},
    random::Random,
};

/// Merges a patch into a value, field by field; `null` takes a field away. A string that holds JSON
/// counts as what it holds.
pub(crate) fn merge(value: &mut Value, patch: Value) {
    let structured = patch.is_object() || patch.is_array();
    if let (Value::String(text), true) = (&mut *value, structured) {
        let mut inside = nested(text).unwrap_or_default();
        merge(&mut inside, patch);
        *text = inside.to_string();
        return;
    }
    let Value::Object(patch) = patch else {
        *value = patch;
        return;
    };
    for (name, patch) in patch {
        match patch {
            Value::Null => drop(object(value).remove(&name)),
            patch => merge(object(value).entry(name).or_insert(Value::Null), patch),
        }
    }
}

/// A custom mutator for targets whose input is a patch of `truth`: puts a changed copy of one of its
/// fields into the patch, or changes the patch itself.
pub(crate) fn mutate(
    truth: &Value,
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytes: impl FnOnce(&mut [u8], usize, usize) -> usize,
) -> usize {
    let random = &mut Random::new(seed);
    let patch = serde_json::from_slice(&data[..size]).ok().filter(Value::is_object);
    let Some(mut patch) = patch else { return bytes(data, size, max_size) };
    if random.once_in(4) {
        mutate_value(&mut patch, random);
    } else {
        lie(&mut patch, truth, random);
    }
    store(&patch, data, max_size).unwrap_or(size)
}

/// Puts a changed copy of some field of `truth`, which is an object, into `patch`.
fn lie(patch: &mut Value, truth: &Value, random: &mut Random) {
    let Value::Object(fields) = truth else { return };
    let mut names: Vec<_> = fields.keys().map(String::as_str).collect();
    // Half of the time the metadata of a safetensors header, against one entry for each tensor.
    if fields.contains_key("__metadata__") && random.once_in(2) {
        names = vec!["__metadata__"];
    }
    if names.is_empty() {
        return;
    }
    let name = *random.pick(&names);
    let opened = fields[name].as_str().and_then(nested);
    let truth = opened.as_ref().unwrap_or(&fields[name]);
    let place = object(patch).entry(name).or_insert(Value::Null);
    if truth.is_object() && !random.once_in(8) {
        return lie(place, truth, random);
    }
    *place = truth.clone();
    mutate_value(place, random);
}

/// The fields of a value, which becomes an object if it is none.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("it was just made an object"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_reaches_into_strings_that_hold_json() {
        let mut value = json!({"a": {"b": "{\"c\":1,\"d\":2}", "e": 3}});
        merge(&mut value, json!({"a": {"b": {"c": [4]}, "e": null}}));
        assert_eq!(value, json!({"a": {"b": "{\"c\":[4],\"d\":2}"}}));
    }

    #[test]
    fn a_mutation_changes_what_it_is_merged_into() {
        let truth = json!({"one": 1, "two": {"three": [3, 3, 3]}, "four": "{\"five\":5}"});
        let mut changed = 0;
        for seed in 0..100 {
            let mut data = [b' '; 1024];
            data[..2].copy_from_slice(b"{}");
            let size = mutate(&truth, &mut data, 2, 1024, seed, |_, size, _| size);
            let mut value = truth.clone();
            merge(&mut value, serde_json::from_slice(&data[..size]).expect("a patch is JSON"));
            changed += usize::from(value != truth);
        }
        assert!(changed > 50, "{changed} of 100 mutations changed something");
    }
}
