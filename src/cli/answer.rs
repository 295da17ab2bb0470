//! An answer of the server in the order in which it is shown, field names as in the proto. What is empty is left out.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// Named values in order. Serialises to the JSON of `--output json`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer(Vec<(&'static str, Value)>);

/// A value, and what it means to a reader.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Texts(Vec<String>),
    Number(i64),
    Flag(bool),
    /// Seconds since the Unix epoch.
    Time(i64),
    /// How many seconds something lasts.
    Seconds(i64),
    /// How high a target was raised.
    Floor(u64),
    /// A value of an enum, as the proto spells it, and the prefix that a reader does without.
    Word(&'static str, &'static str),
    Object(Answer),
    /// Rows, and the columns of them that a table shows.
    Objects(&'static [&'static str], Vec<Answer>),
    Json(serde_json::Value),
}

impl Answer {
    pub(super) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.0.push((name, value));
        self
    }

    pub(super) fn text(self, name: &'static str, text: String) -> Self {
        if text.is_empty() { self } else { self.with(name, Value::Text(text)) }
    }

    pub(super) fn texts(self, name: &'static str, texts: Vec<String>) -> Self {
        if texts.is_empty() { self } else { self.with(name, Value::Texts(texts)) }
    }

    pub(super) fn number(self, name: &'static str, number: i64) -> Self {
        if number == 0 { self } else { self.with(name, Value::Number(number)) }
    }

    pub(super) fn time(self, name: &'static str, seconds: i64) -> Self {
        if seconds == 0 { self } else { self.with(name, Value::Time(seconds)) }
    }

    pub(super) fn seconds(self, name: &'static str, seconds: i64) -> Self {
        if seconds == 0 { self } else { self.with(name, Value::Seconds(seconds)) }
    }

    pub(super) fn object(self, name: &'static str, object: Option<Answer>) -> Self {
        match object {
            Some(object) if !object.0.is_empty() => self.with(name, Value::Object(object)),
            _ => self,
        }
    }

    pub(super) fn json(self, name: &'static str, json: Option<serde_json::Value>) -> Self {
        match json {
            Some(json) => self.with(name, Value::Json(json)),
            None => self,
        }
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.fields().find(|(field, _)| *field == name).map(|(_, value)| value)
    }

    /// The rows, where the answer is nothing but rows.
    pub(super) fn rows(&self) -> Option<(&'static [&'static str], &[Answer])> {
        match self.0.as_slice() {
            [(_, Value::Objects(columns, rows))] => Some((columns, rows)),
            _ => None,
        }
    }

    /// What `--field` prints: the field of the answer, or of each of its rows, one line each.
    ///
    /// # Errors
    /// What to say where the answer has no such field.
    pub(super) fn lines_of(&self, name: &str) -> Result<Vec<String>, String> {
        let answers: Vec<&Answer> = match (self.get(name), self.rows()) {
            (None, Some((_, rows))) => rows.iter().collect(),
            _ => vec![self],
        };
        answers
            .into_iter()
            .map(|answer| match answer.get(name) {
                Some(value) => Ok(value.plain()),
                None => {
                    let known: Vec<&str> = answer.fields().map(|(field, _)| field).collect();
                    Err(format!("the answer has no field `{name}`: it has {}", known.join(", ")))
                }
            })
            .collect()
    }
}

impl Value {
    /// The value alone: text without quotes, anything of several parts as JSON.
    fn plain(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Word(name, _) => (*name).to_owned(),
            other => serde_json::to_string(other).unwrap_or_default(),
        }
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Texts(texts) => texts.serialize(serializer),
            Self::Number(number) | Self::Time(number) | Self::Seconds(number) => number.serialize(serializer),
            Self::Floor(floor) => floor.serialize(serializer),
            Self::Flag(flag) => flag.serialize(serializer),
            Self::Word(name, _) => name.serialize(serializer),
            Self::Object(answer) => answer.serialize(serializer),
            Self::Objects(_, rows) => rows.serialize(serializer),
            Self::Json(json) => json.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_the_order_and_leaves_out_what_is_empty() {
        let answer = Answer::default()
            .with("active", Value::Flag(false))
            .text("scope", String::new())
            .time("exp", 0)
            .text("client_id", "web-app".into())
            .object("cnf", Some(Answer::default()));
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"active":false,"client_id":"web-app"}"#);
    }

    #[test]
    fn a_field_is_one_line_of_each_row() {
        let row = |id: &str| Answer::default().text("grant_id", id.into());
        let rows = Answer::default().with("grants", Value::Objects(&["grant_id"], vec![row("a"), row("b")]));
        assert_eq!(rows.lines_of("grant_id").unwrap(), ["a", "b"]);
        assert!(rows.lines_of("sub").unwrap_err().contains("it has grant_id"));
        assert_eq!(row("a").with("exp", Value::Time(7)).lines_of("exp").unwrap(), ["7"]);
    }
}
