//! What the messages of `ClientService` and `ResourceService` share: words, lists, numbers and pages, by their form.
//!
//! Must not live here: what may be registered, which the domain says.

use super::fields::Fields;
use crate::service::registry::ListRegistered;
use crate::transport::fault::Fault;
use jeton_domain::error::{Error, Result as Judged};
use jeton_domain::name::ResourceId;
use jeton_domain::registration::Bounds;
use jeton_domain::scope::Scopes;
use jeton_domain::time::Millis;

const DEFAULT_PAGE: usize = 50;
/// So many of the longest registrations fit into a message.
const MAX_PAGE: usize = 100;
const MAX_PAGE_TOKEN_BYTES: usize = 1_024;
const MAX_ETAG_BYTES: usize = 64;
/// More than any list of a registration may have.
const MAX_ENTRIES: usize = 256;

/// One of a few words; none where it is empty.
pub fn word<T, const N: usize>(
    fields: &mut Fields,
    field: &str,
    text: &str,
    words: [&'static str; N],
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    fields.optional(text, |text| parse(text).ok_or_else(|| none_of(field, words)))
}

/// A word that is none of those that there are.
pub fn none_of<const N: usize>(field: &str, words: [&'static str; N]) -> Error {
    Error::invalid(field, format!("must be one of {}", words.map(|word| format!("`{word}`")).join(", ")))
}

/// Every entry of a list.
pub fn each<T>(fields: &mut Fields, field: &str, texts: &[String], parse: impl Fn(&str, &str) -> Judged<T>) -> Vec<T> {
    if texts.len() > MAX_ENTRIES {
        fields.wrong(field, &format!("names more than {MAX_ENTRIES}"));
        return Vec::new();
    }
    let one = |(at, text): (usize, &String)| fields.get(parse(&format!("{field}[{at}]"), text));
    texts.iter().enumerate().filter_map(one).collect()
}

/// Scopes, one an entry.
pub fn scopes(fields: &mut Fields, field: &str, texts: &[String]) -> Scopes {
    let one = |field: &str, text: &str| match Scopes::parse(field, text) {
        Ok(scopes) if scopes.len() == 1 && !text.contains(' ') => Ok(text.into()),
        Ok(_) => Err(Error::invalid_scope(field, "must be one scope")),
        Err(error) => Err(error),
    };
    each::<Box<str>>(fields, field, texts, one).into_iter().collect()
}

/// Resources.
pub fn resources(fields: &mut Fields, field: &str, texts: &[String]) -> Vec<ResourceId> {
    each(fields, field, texts, ResourceId::parse)
}

/// Seconds; 0 is the default. The bounds are the domain's to check.
pub fn lifetime(fields: &mut Fields, field: &str, seconds: i64, bounds: Bounds<Millis>) -> Millis {
    match u64::try_from(seconds) {
        Ok(0) => bounds.default,
        Ok(seconds) => Millis::from_secs(seconds),
        Err(_) => {
            fields.wrong(field, "must not be negative");
            bounds.default
        }
    }
}

/// A number; 0 is the default. The bounds are the domain's to check.
pub fn count(fields: &mut Fields, field: &str, number: i32, bounds: Bounds<u32>) -> u32 {
    match u32::try_from(number) {
        Ok(0) => bounds.default,
        Ok(number) => number,
        Err(_) => {
            fields.wrong(field, "must not be negative");
            bounds.default
        }
    }
}

/// The etag of a registration as it was read; none where it is empty.
pub fn etag(fields: &mut Fields, text: &str) -> Option<String> {
    fields.word("etag", text, MAX_ETAG_BYTES)
}

/// Which page is asked for.
pub fn page(size: i32, token: &str) -> Result<ListRegistered, Fault> {
    let mut fields = Fields::default();
    let limit = match usize::try_from(size) {
        Ok(0) => DEFAULT_PAGE,
        Ok(size) if size <= MAX_PAGE => size,
        _ => {
            fields.wrong("page_size", &format!("must be between 0 and {MAX_PAGE}"));
            DEFAULT_PAGE
        }
    };
    let page_token = fields.word("page_token", token, MAX_PAGE_TOKEN_BYTES);
    fields.done()?;
    Ok(ListRegistered { limit, page_token })
}
