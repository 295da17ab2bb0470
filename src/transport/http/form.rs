//! The form of a request to an OAuth endpoint: read whole, within bounds, each parameter once (RFC 6749 sections 3.2 and B).
//!
//! Must not live here: what a parameter means.

use super::certificate::Certificates;
use crate::service::limits::Source;
use crate::transport::fault::{Edge, Fault};
use axum::body::{Body, Bytes};
use http::request::Parts;
use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jeton_domain::certificate::Certificate;
use jeton_domain::error::Error;
use jeton_domain::secret::SecretText;
use percent_encoding::percent_decode_str;

/// The largest body that is read, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// The most parameters of one request.
pub const MAX_PARAMETERS: usize = 128;
/// What may be given more than once (RFC 8707 section 2, RFC 8693 section 2.1).
const REPEATABLE: [&str; 2] = ["resource", "audience"];

/// A request whose form was read. Not printable: it holds tokens and secrets.
pub struct Asked {
    /// Its headers.
    pub headers: HeaderMap,
    /// The certificate that came with it.
    pub certificate: Option<Certificate>,
    /// Its parameters.
    pub form: Form,
    /// Who asks; none where that is not known.
    pub from: Option<Source>,
}

/// The parameters of a form. Each is taken out once.
#[derive(Default)]
pub struct Form(Vec<(String, SecretText)>);

impl Asked {
    /// Reads a request. What cannot be read at all is refused before anything is looked at.
    ///
    /// # Errors
    /// Another content type, an encoding, more than [`MAX_BODY_BYTES`], not UTF-8, a parameter given twice.
    pub async fn read(request: Request<Body>, certificates: &Certificates) -> Result<Self, Fault> {
        let (parts, body) = request.into_parts();
        let certificate = certificates.of(&parts)?;
        let Parts { headers, .. } = parts;
        if !is_form(&headers) {
            let problem = "must be application/x-www-form-urlencoded (RFC 6749 section 3.2)";
            return Err(Fault::of(&Error::invalid("content-type", problem)));
        }
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Fault::at(Edge::EncodingUnsupported));
        }
        let body = read(body).await?;
        let text = std::str::from_utf8(&body).map_err(|_bytes| not_text())?;
        Ok(Self { headers, certificate, form: Form::parse(text)?, from: None })
    }
}

/// The request with the form in its body read whole, so that nothing of it is waited for any more. One that holds no form is as it was.
///
/// # Errors
/// More than [`MAX_BODY_BYTES`], or cut off.
pub async fn whole(request: Request<Body>) -> Result<Request<Body>, Fault> {
    if !is_form(request.headers()) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    Ok(Request::from_parts(parts, read(body).await?.into()))
}

async fn read(body: Body) -> Result<Bytes, Fault> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Fault::at(Edge::MessageTooLarge { limit: MAX_BODY_BYTES })),
        Err(_cut_off) => Err(Fault::at(Edge::MessageMalformed)),
    }
}

impl Form {
    /// Parses the encoded text of a form. A parameter without a value is as if it was not there (RFC 6749 section 3.2).
    ///
    /// # Errors
    /// Not UTF-8 once decoded, too many parameters, one given twice that may be given once.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut all: Vec<(String, SecretText)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?;
            if all.len() >= MAX_PARAMETERS {
                return Err(Fault::of(&Error::invalid("body", format!("has more than {MAX_PARAMETERS} parameters"))));
            }
            if all.iter().any(|(known, _)| *known == name) && !REPEATABLE.contains(&name.as_str()) {
                return Err(Fault::of(&Error::invalid(&name, "is given more than once (RFC 6749 section 3.2)")));
            }
            all.push((name, SecretText::new(decoded(value)?)));
        }
        all.retain(|(_, value)| !value.expose().is_empty());
        Ok(Self(all))
    }

    /// All parameters that are left, none of which is a secret.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose()))
    }

    /// Takes out a parameter that is given at most once.
    pub fn take(&mut self, name: &str) -> Option<SecretText> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(at).1)
    }

    /// The same as text that is no secret.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.take(name).map(|value| value.expose().to_owned())
    }

    /// Takes out a parameter that must be there.
    ///
    /// # Errors
    /// `invalid_request`, naming it.
    pub fn required(&mut self, name: &str) -> Result<SecretText, Fault> {
        self.take(name).ok_or_else(|| Fault::of(&Error::invalid(name, "must be given")))
    }

    /// Takes out all values of a parameter that may be given several times, in order.
    pub fn several(&mut self, name: &str) -> Vec<String> {
        let taken = self.0.extract_if(.., |(known, _)| known == name);
        taken.map(|(_, value)| value.expose().to_owned()).collect()
    }
}

/// Whether the body is said to be a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(one), None) = (given.next(), given.next()) else { return false };
    let media_type = one.to_str().ok().and_then(|text| text.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

/// Decodes `application/x-www-form-urlencoded` text.
///
/// # Errors
/// What it says is not UTF-8.
pub fn decoded(text: &str) -> Result<String, Fault> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().map(Into::into).map_err(|_bytes| not_text())
}

fn not_text() -> Fault {
    Fault::of(&Error::invalid("body", "is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        Form::parse(text).err().map(|fault| fault.message.into_owned()).unwrap_or_default()
    }

    #[test]
    fn each_parameter_is_taken_once_and_empty_is_absent() {
        let mut form = Form::parse("a=1&resource=x&b=&resource=y%20z&c=+%2B&").unwrap_or_default();
        assert_eq!(form.text("a").as_deref(), Some("1"));
        assert_eq!(form.text("a"), None);
        assert_eq!(form.text("b"), None);
        assert_eq!(form.text("c").as_deref(), Some(" +"));
        assert_eq!(form.several("resource"), ["x", "y z"]);
        assert!(form.required("a").is_err());
    }

    #[test]
    fn what_is_repeated_or_no_text_is_refused() {
        assert!(problem("a=1&a=2").contains("`a` is given more than once"));
        assert!(problem("a=&%61=2").contains("`a` is given more than once"));
        assert!(problem("a=%ff").contains("UTF-8"));
        assert!(problem("%ff=a").contains("UTF-8"));
        assert!(problem(&"a&".repeat(2)).contains("more than once"));
        let many: String = (0..=MAX_PARAMETERS).map(|n| format!("p{n}=1&")).collect();
        assert!(problem(&many).contains("more than 128"));
    }

    #[test]
    fn only_a_form_is_a_form() {
        let with = |values: &[&'static str]| {
            is_form(&values.iter().map(|value| (header::CONTENT_TYPE, http::HeaderValue::from_static(value))).collect())
        };
        assert!(with(&["application/x-www-form-urlencoded"]) && with(&["Application/X-WWW-Form-Urlencoded; charset=UTF-8"]));
        assert!(!with(&[]) && !with(&["application/json"]) && !with(&["application/x-www-form-urlencoded"; 2]));
    }
}
