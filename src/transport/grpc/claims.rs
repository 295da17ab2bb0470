//! `google.protobuf.Struct` to JSON and back, within bounds: a token is no place for documents.

use jeton_domain::error::{Error, Result};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as ProtoValue};
use serde_json::{Map, Number, Value};

const MAX_BYTES: usize = 8 * 1024;
const MAX_DEPTH: usize = 8;
const MAX_NAME_BYTES: usize = 128;

/// Above it a double no longer tells integers apart.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// Further claims: an object of at most 8 KiB as JSON, 8 levels deep.
pub fn object(field: &str, object: Struct) -> Result<Map<String, Value>> {
    let mut reader = Reader { left: MAX_BYTES };
    reader.map(field, object, 0)
}

/// Authorization details: 8 KiB as JSON together. What they say is for the domain to judge.
pub fn details(field: &str, details: Vec<Struct>) -> Result<Vec<Value>> {
    let mut reader = Reader { left: MAX_BYTES };
    let read = |(at, detail): (usize, Struct)| match reader.map(&format!("{field}[{at}]"), detail, 0) {
        Err(Error::Invalid { field, problem }) => Err(Error::InvalidAuthorizationDetails { field, problem }),
        read => read.map(Value::Object),
    };
    details.into_iter().enumerate().map(read).collect()
}

struct Reader {
    /// Bytes of JSON that may still come.
    left: usize,
}

impl Reader {
    fn map(&mut self, field: &str, object: Struct, depth: usize) -> Result<Map<String, Value>> {
        self.take(field, 2)?;
        let mut map = Map::new();
        for (name, value) in object.fields {
            if name.is_empty() || name.len() > MAX_NAME_BYTES {
                return Err(Error::invalid(
                    field,
                    format!("has a member whose name is empty or longer than {MAX_NAME_BYTES} bytes"),
                ));
            }
            if name.chars().any(char::is_control) {
                return Err(Error::invalid(field, "has a member whose name has a control character"));
            }
            self.take(field, name.len() + 4)?;
            let value = self.value(field, &name, value, depth + 1)?;
            map.insert(name, value);
        }
        Ok(map)
    }

    /// `field` is extended only where something is wrong, so that what is right costs nothing.
    fn value(&mut self, parent: &str, name: &str, value: ProtoValue, depth: usize) -> Result<Value> {
        let invalid = |problem: &str| Err(Error::invalid(&format!("{parent}.{name}"), problem));
        if depth > MAX_DEPTH {
            return Err(Error::invalid(parent, format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        match value.kind {
            None | Some(Kind::NullValue(_)) => {
                self.take(parent, 5)?;
                Ok(Value::Null)
            }
            Some(Kind::BoolValue(truth)) => {
                self.take(parent, 6)?;
                Ok(Value::Bool(truth))
            }
            Some(Kind::NumberValue(number)) => {
                self.take(parent, 8)?;
                match numbered(number) {
                    Some(number) => Ok(Value::Number(number)),
                    None => invalid("is not a number that JSON has"),
                }
            }
            Some(Kind::StringValue(text)) => {
                self.take(parent, text.len() + 3)?;
                // Line breaks are part of addresses (OIDC Core section 5.1.1).
                if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
                    return invalid("has a control character");
                }
                Ok(Value::String(text))
            }
            Some(Kind::StructValue(object)) => Ok(Value::Object(self.map(&format!("{parent}.{name}"), object, depth)?)),
            Some(Kind::ListValue(list)) => {
                self.take(parent, 2)?;
                let path = format!("{parent}.{name}");
                let read = |(at, value): (usize, ProtoValue)| self.value(&path, &at.to_string(), value, depth + 1);
                Ok(Value::Array(list.values.into_iter().enumerate().map(read).collect::<Result<_>>()?))
            }
        }
    }

    fn take(&mut self, field: &str, bytes: usize) -> Result<()> {
        let Some(left) = self.left.checked_sub(bytes) else {
            return Err(Error::invalid(field, format!("is larger than {MAX_BYTES} bytes as JSON")));
        };
        self.left = left;
        Ok(())
    }
}

/// Protobuf knows doubles only; one that is whole becomes an integer again, as whoever sent it meant.
fn numbered(number: f64) -> Option<Number> {
    if number.fract() == 0.0 && number.abs() <= MAX_EXACT {
        // The text of a whole double this small is a plain integer.
        return format!("{number:.0}").parse::<i64>().ok().map(Number::from);
    }
    Number::from_f64(number)
}

/// JSON as a protobuf object.
pub fn written(map: Map<String, Value>) -> Struct {
    Struct { fields: map.into_iter().map(|(name, value)| (name, write(value))).collect() }
}

/// Objects among JSON values as protobuf objects; details are nothing else.
pub fn written_all(values: Vec<Value>) -> Vec<Struct> {
    let objects = values.into_iter().filter_map(|value| match value {
        Value::Object(map) => Some(written(map)),
        _ => None,
    });
    objects.collect()
}

fn write(value: Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(truth),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text),
        Value::Array(values) => Kind::ListValue(ListValue { values: values.into_iter().map(write).collect() }),
        Value::Object(map) => Kind::StructValue(written(map)),
    };
    ProtoValue { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn proto(value: Value) -> Struct {
        let Value::Object(map) = value else { panic!("an object") };
        written(map)
    }

    #[test]
    fn json_comes_back_as_it_was_integers_included() {
        let value = json!({"n": 7, "neg": -3, "f": 1.5, "big": 9_007_199_254_740_991_i64, "list": [1, "a", null, {"b": true}], "zero": 0});
        assert_eq!(Value::Object(object("c", proto(value.clone())).unwrap()), value);
    }

    #[test]
    fn numbers_that_json_has_not_are_refused_by_name() {
        for number in [f64::NAN, f64::INFINITY] {
            let value = ProtoValue { kind: Some(Kind::NumberValue(number)) };
            let error = object("claims", Struct { fields: [("x".to_owned(), value)].into() }).unwrap_err();
            assert!(matches!(error, Error::Invalid { field, .. } if field == "claims.x"));
        }
    }

    #[test]
    fn size_depth_and_control_characters_are_bounded() {
        let deep = (0..9).fold(json!(1), |inner, _| json!({ "a": inner }));
        for bad in [json!({"a": "x".repeat(9_000)}), deep, json!({"a": "b\0"}), json!({"a\n": 1}), json!({"": 1})] {
            assert!(object("claims", proto(bad.clone())).is_err(), "{bad}");
        }
        let many: Map<String, Value> = (0..5_000).map(|n| (format!("{n}"), json!(1))).collect();
        assert!(object("claims", written(many)).is_err());
        assert!(object("claims", proto(json!({"address": "1 Street\nTown"}))).is_ok());
    }

    #[test]
    fn authorization_details_are_bounded_together() {
        assert_eq!(details("d", vec![proto(json!({"type": "pay"}))]).unwrap(), [json!({"type": "pay"})]);
        let large = proto(json!({"a": "x".repeat(5_000)}));
        let error = details("d", vec![large; 2]).unwrap_err();
        assert!(matches!(error, Error::InvalidAuthorizationDetails { field, .. } if field == "d[1]"));
    }
}
