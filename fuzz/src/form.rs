//! Bodies of forms (`transport::http::form`), compared with another reader of them.

use jeton::transport::http::form::{Form, MAX_PARAMETERS};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

type Pairs = Vec<(String, String)>;

/// What is given more than once is refused, but these.
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// Both readers agree, and what was read is read again where it is written in another spelling.
pub fn read(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (read, pairs) = (Form::parse(text), plain(text));
    assert_eq!(read.is_ok(), pairs.is_some(), "one reader refuses what the other reads");
    let (Ok(form), Some(pairs)) = (read, pairs) else { return };
    is_what_it_says(form, &pairs);
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let again: Vec<String> = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let again = Form::parse(&again.join("&"));
    assert!(again.is_ok(), "written in another spelling it is refused");
    is_what_it_says(again.unwrap_or_default(), &pairs);
}

/// Each parameter is taken out once; one without a value is not there.
fn is_what_it_says(mut form: Form, pairs: &Pairs) {
    for (name, _) in pairs {
        let given: Vec<&str> =
            pairs.iter().filter(|(known, value)| known == name && !value.is_empty()).map(|(_, v)| v.as_str()).collect();
        if REPEATABLE.contains(&name.as_str()) {
            let several = form.several(name);
            assert!(several.is_empty() || several == given, "{name}");
        } else {
            assert_eq!(form.text(name).as_deref(), given.first().copied(), "{name}");
        }
        assert_eq!(form.text(name), None, "{name} is taken out");
    }
}

/// The pairs of a form as simply as can be; none where it is refused.
fn plain(text: &str) -> Option<Pairs> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(String::from);
    let mut pairs = Pairs::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        let is_repeated = pairs.iter().any(|(known, _)| *known == name) && !REPEATABLE.contains(&name.as_str());
        if is_repeated || pairs.len() == MAX_PARAMETERS {
            return None;
        }
        pairs.push((name, value));
    }
    Some(pairs)
}
