//! Authorization details (RFC 9396): the types that resources declare, what is asked for of them, and what is narrower than what.
//!
//! Must not live here: which client may ask for what, and what a user allowed.

use crate::claims::EXTRA_MAX_BYTES;
use crate::error::{Error, Result};
use crate::json;
use crate::name::ResourceId;
use crate::resource::Resources;
use crate::secret::shown;
use serde_json::{Map, Value};
use std::fmt;

/// The parameter, as requests, answers and claims call it.
pub const FIELD: &str = "authorization_details";
/// The most objects of one request.
pub const MAX: usize = 16;
/// How deep they may be nested.
const MAX_DEPTH: usize = 8;
/// The longest name of a type or of a member, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// The largest whole number that a double tells from its neighbours.
const MAX_EXACT: u64 = 9_007_199_254_740_991;
/// The members whose texts are permissions, each by itself (section 2.2): fewer of them are less.
const LISTS: [&str; 4] = ["locations", "actions", "datatypes", "privileges"];

/// A type of authorization details as a resource declares it: the members that its objects have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetailsType {
    name: Box<str>,
    members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    name: Box<str>,
    shape: Shape,
    is_required: bool,
}

/// What the value of a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    String,
    Strings,
    Number,
    Boolean,
    Object,
    Array,
}

impl DetailsType {
    /// The most members of a type beside `type` itself.
    pub const MAX_MEMBERS: usize = 32;

    /// Parses a declaration, in the form in which `Display` writes it: `payment_initiation(actions!,creditorName,amount:object!)`.
    ///
    /// A member has the shape `string` where none is named, but for those of RFC 9396 section 2.2, which are what they are there; `!`
    /// says that it must be given.
    ///
    /// # Errors
    /// `Error::Invalid` naming `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let wrong = |problem: String| Err(Error::invalid(field, problem));
        let (name, members) = match text.split_once('(') {
            None => (text, ""),
            Some((name, rest)) => match rest.strip_suffix(')') {
                Some(members) => (name, members),
                None => return wrong("must end with `)`, as in `payment(actions,amount:object!)`".into()),
            },
        };
        if !is_name(name) {
            return wrong(format!(
                "has a type whose name is empty, longer than {MAX_NAME_BYTES} bytes, or has other than printable ASCII"
            ));
        }
        let mut read: Vec<Member> = Vec::new();
        for text in members.split(',').filter(|text| !text.is_empty()) {
            let member = Member::parse(field, text)?;
            if member.name.as_ref() == "type" || read.iter().any(|known| known.name == member.name) {
                return wrong(format!("declares `{}` twice", member.name));
            }
            read.push(member);
        }
        if read.len() > Self::MAX_MEMBERS {
            return wrong(format!("declares more than {} members", Self::MAX_MEMBERS));
        }
        Ok(Self { name: name.into(), members: read })
    }

    /// The value of `type`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether an object is of this type: known members of the right shape, and none that must be given is missing (section 5).
    fn check(&self, at: &str, detail: &Map<String, Value>) -> Result<()> {
        for (name, value) in detail.iter().filter(|(name, _)| *name != "type") {
            match self.members.iter().find(|member| *member.name == **name) {
                None => return refuse(at, format!("has `{}`, which its type does not know", shown(name))),
                Some(member) if !member.shape.fits(value) => {
                    return refuse(&format!("{at}.{name}"), format!("is not {}", member.shape.phrase()));
                }
                Some(_) => {}
            }
        }
        match self.members.iter().find(|member| member.is_required && !detail.contains_key(&*member.name)) {
            Some(missing) => refuse(&format!("{at}.{}", missing.name), "must be given".into()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for DetailsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (at, member) in self.members.iter().enumerate() {
            f.write_str(if at == 0 { "(" } else { "," })?;
            write!(f, "{}:{}{}", member.name, member.shape.word(), if member.is_required { "!" } else { "" })?;
        }
        f.write_str(if self.members.is_empty() { "" } else { ")" })
    }
}

impl Member {
    fn parse(field: &str, text: &str) -> Result<Self> {
        let (text, is_required) = text.strip_suffix('!').map_or((text, false), |text| (text, true));
        let (name, word) = text.split_once(':').map_or((text, None), |(name, word)| (name, Some(word)));
        let usual = Shape::usual(name);
        let shape = match word {
            None => Some(usual.unwrap_or(Shape::String)),
            Some(word) => Shape::ALL.into_iter().find(|shape| shape.word() == word),
        };
        let Some(shape) = shape.filter(|_| is_name(name)) else {
            let shapes = Shape::ALL.map(Shape::word).join(", ");
            return Err(Error::invalid(
                field,
                format!("has the member `{}`: write NAME or NAME:SHAPE, of {shapes}", shown(text)),
            ));
        };
        match usual {
            Some(usual) if usual != shape => {
                Err(Error::invalid(field, format!("makes `{name}` other than {} (RFC 9396 section 2.2)", usual.word())))
            }
            _ => Ok(Self { name: name.into(), shape, is_required }),
        }
    }
}

impl Shape {
    const ALL: [Self; 6] = [Self::String, Self::Strings, Self::Number, Self::Boolean, Self::Object, Self::Array];

    const fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Strings => "strings",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Array => "array",
        }
    }

    /// As a sentence says it.
    const fn phrase(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Strings => "an array of strings",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Object => "an object",
            Self::Array => "an array",
        }
    }

    /// Of the members that every type may have (section 2.2).
    fn usual(name: &str) -> Option<Self> {
        match name {
            "identifier" => Some(Self::String),
            _ => LISTS.contains(&name).then_some(Self::Strings),
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Strings => value.as_array().is_some_and(|values| values.iter().all(Value::is_string)),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
        }
    }
}

/// Reads the parameter of a request: an array of at least one object.
///
/// # Errors
/// `InvalidAuthorizationDetails`: longer than 8 KiB, no such JSON, or a member twice.
pub fn parse(text: &str) -> Result<Vec<Value>> {
    if text.len() > EXTRA_MAX_BYTES {
        return refuse(FIELD, "is longer than 8 KiB".into());
    }
    match json::array(text.as_bytes()) {
        Some(details) if !details.is_empty() => Ok(details),
        Some(_) => refuse(FIELD, "is empty: leave it out".into()),
        None => refuse(FIELD, "is not a JSON array of objects, or has a member twice (RFC 9396 section 2)".into()),
    }
}

/// Checks what is asked for: its bounds, that each type is declared, and that each object is as its type says (section 5).
///
/// # Errors
/// `InvalidAuthorizationDetails`.
pub fn check(details: &[Value], known: &Resources) -> Result<()> {
    if details.len() > MAX {
        return refuse(FIELD, format!("has more than {MAX} members"));
    }
    for (place, detail) in details.iter().enumerate() {
        let at = format!("{FIELD}[{place}]");
        check_depth(&at, detail, 0)?;
        let Some(name) = type_of(detail) else {
            return refuse(&format!("{at}.type"), "must be a string (RFC 9396 section 2)".into());
        };
        match (known.owner_of_details(name), detail) {
            (Some((_, declared)), Value::Object(detail)) => declared.check(&at, detail)?,
            _ => return refuse(&format!("{at}.type"), format!("is `{}`, which no configured resource declares", shown(name))),
        }
    }
    // Most requests have none, and writing JSON only to measure it is not free.
    if !details.is_empty() && serde_json::to_vec(details).map_or(usize::MAX, |json| json.len()) > EXTRA_MAX_BYTES {
        return refuse(FIELD, "is longer than 8 KiB as JSON".into());
    }
    Ok(())
}

/// The `type` of an object.
#[must_use]
pub fn type_of(detail: &Value) -> Option<&str> {
    detail.get("type")?.as_str()
}

/// Those of `details` whose types `resources` declare: what is said to them, and to nobody else (section 7).
#[must_use]
pub fn of_resources(details: &[Value], resources: &[ResourceId], known: &Resources) -> Vec<Value> {
    let is_theirs = |detail: &&Value| is_of(detail, resources, known);
    details.iter().filter(is_theirs).cloned().collect()
}

/// What is asked for of what was granted (section 6): all that is for `resources` where nothing is named, else what is named.
///
/// # Errors
/// `InvalidAuthorizationDetails` for an object that is within none of those granted, or not for one of `resources`.
pub fn narrow(granted: &[Value], asked: &[Value], resources: &[ResourceId], known: &Resources) -> Result<Vec<Value>> {
    if asked.is_empty() {
        return Ok(of_resources(granted, resources, known));
    }
    check_within(granted, asked)?;
    check_owners(asked, resources, known)?;
    Ok(asked.to_vec())
}

/// Whether each object of `asked` is within one of those granted.
///
/// # Errors
/// `InvalidAuthorizationDetails`.
pub fn check_within(granted: &[Value], asked: &[Value]) -> Result<()> {
    if asked.len() > MAX {
        return refuse(FIELD, format!("has more than {MAX} members"));
    }
    let is_outside = |asked: &Value| !granted.iter().any(|granted| is_within(granted, asked));
    match asked.iter().position(is_outside) {
        Some(place) => refuse(&format!("{FIELD}[{place}]"), "is not within what was granted".into()),
        None => Ok(()),
    }
}

/// Whether the owner of each is among `resources`.
///
/// # Errors
/// `InvalidAuthorizationDetails`.
pub fn check_owners(details: &[Value], resources: &[ResourceId], known: &Resources) -> Result<()> {
    match details.iter().position(|detail| !is_of(detail, resources, known)) {
        Some(place) => refuse(&format!("{FIELD}[{place}]"), "is for a resource that is not asked for".into()),
        None => Ok(()),
    }
}

fn is_of(detail: &Value, resources: &[ResourceId], known: &Resources) -> bool {
    let owner = type_of(detail).and_then(|name| known.owner_of_details(name));
    owner.is_some_and(|(owner, _)| resources.contains(&owner.id))
}

/// Whether `asked` is no more than `granted`. RFC 9396 section 6.1 leaves it to the server; here the types' meaning is unknown, and so:
/// the same members with the same values, but of the lists of permissions there may be fewer, and not none. A member left out may be
/// a limit left out, and one more may be a permission more.
fn is_within(granted: &Value, asked: &Value) -> bool {
    let (Value::Object(granted), Value::Object(asked)) = (granted, asked) else { return false };
    let is_no_more = |(name, asked): (&String, &Value)| match granted.get(name) {
        Some(Value::Array(granted)) if LISTS.contains(&name.as_str()) => {
            let some = asked.as_array().filter(|asked| !asked.is_empty() || granted.is_empty());
            some.is_some_and(|asked| asked.iter().all(|one| granted.contains(one)))
        }
        held => held == Some(asked),
    };
    granted.len() == asked.len() && asked.iter().all(is_no_more)
}

/// A token is no place for documents, and what is said in a JWT must be sayable over gRPC.
fn check_depth(at: &str, value: &Value, depth: usize) -> Result<()> {
    if depth > MAX_DEPTH {
        return refuse(at, format!("is nested deeper than {MAX_DEPTH} levels"));
    }
    match value {
        Value::Object(members) => {
            let is_bad = |name: &&String| name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control);
            if members.keys().any(|name| is_bad(&name)) {
                let problem =
                    format!("has a member whose name is empty, longer than {MAX_NAME_BYTES} bytes, or has control characters");
                return refuse(at, problem);
            }
            members.values().try_for_each(|value| check_depth(at, value, depth.saturating_add(1)))
        }
        Value::Array(values) => values.iter().try_for_each(|value| check_depth(at, value, depth.saturating_add(1))),
        Value::String(text) if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) => {
            refuse(at, "has a control character".into())
        }
        Value::Number(number) if number.as_i64().map_or_else(|| number.is_u64(), |whole| whole.unsigned_abs() > MAX_EXACT) => {
            refuse(at, "has a whole number beyond 2^53: write it as a string".into())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// Reads the name of a type.
///
/// # Errors
/// `Error::Invalid` naming `field`.
pub fn parse_name(field: &str, text: &str) -> Result<Box<str>> {
    if is_name(text) {
        Ok(text.into())
    } else {
        Err(Error::invalid(field, "is no name of a type: printable ASCII, at most 128 bytes"))
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_graphic() && !matches!(c, '(' | ')' | ',' | '"' | '\\');
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.chars().all(is_letter)
}

fn refuse<T>(field: &str, problem: String) -> Result<T> {
    Err(Error::InvalidAuthorizationDetails { field: field.into(), problem })
}

#[cfg(test)]
mod tests;
