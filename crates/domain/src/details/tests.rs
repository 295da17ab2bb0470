//! What a declaration says, what is refused under it, what is narrower.

use super::*;
use crate::client::Algorithm;
use crate::policy::AuthenticationPolicy;
use crate::resource::{Resource, TokenFormat};
use crate::scope::Scopes;
use crate::time::Millis;
use serde_json::json;

const PAYMENT: &str = "payment(actions!,locations,amount:object!,note,urgent:boolean,lines:array,limit:number)";

fn id(text: &str) -> ResourceId {
    ResourceId::parse("resource", text).unwrap()
}

fn known() -> Resources {
    let resource = |name: &str, types: &[&str]| Resource {
        id: id(name),
        scopes: Scopes::default(),
        details_types: types.iter().map(|text| DetailsType::parse("f", text).unwrap()).collect(),
        format: TokenFormat::Jwt,
        algorithm: Algorithm::EdDsa,
        access_token_lifetime: Millis::from_secs(300),
        policy: AuthenticationPolicy::default(),
    };
    Resources::new(vec![
        resource("https://pay", &[PAYMENT]),
        resource("https://files", &["https://t/file", "folder(privileges)"]),
    ])
}

fn payment() -> Value {
    json!({"type": "payment", "actions": ["initiate", "status"], "amount": {"sum": "5.00"}})
}

fn with(name: &str, value: Value) -> Value {
    let mut detail = payment();
    detail[name] = value;
    detail
}

fn fault<T: fmt::Debug>(result: Result<T>) -> String {
    match result.unwrap_err() {
        Error::InvalidAuthorizationDetails { field, problem } | Error::Invalid { field, problem } => format!("{field} {problem}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_declaration_reads_back_as_it_is_written() {
    let written = DetailsType::parse("f", PAYMENT).unwrap().to_string();
    assert_eq!(
        written,
        "payment(actions:strings!,locations:strings,amount:object!,note:string,urgent:boolean,lines:array,limit:number)"
    );
    assert_eq!(DetailsType::parse("f", &written), DetailsType::parse("f", PAYMENT));
    assert_eq!(DetailsType::parse("f", "https://t/file").unwrap().to_string(), "https://t/file");
    for (wrong, why) in [
        ("", "empty"),
        ("pay(actions", "must end with"),
        ("p\u{e4}y", "printable ASCII"),
        ("pay(a:text)", "write NAME or NAME:SHAPE"),
        ("pay(:string)", "write NAME"),
        ("pay(a,a:number)", "`a` twice"),
        ("pay(type)", "`type` twice"),
        ("pay(actions:string)", "other than strings"),
    ] {
        let told = fault(DetailsType::parse("f", wrong));
        assert!(told.contains(why), "{wrong}: {told}");
    }
    let many = (0..=DetailsType::MAX_MEMBERS).map(|n| format!("m{n}")).collect::<Vec<_>>().join(",");
    assert!(DetailsType::parse("f", &format!("pay({many})")).is_err());
}

#[test]
fn only_what_is_declared_is_taken() {
    let all = json!({"type": "payment", "actions": [], "locations": ["l"], "amount": {}, "note": "n\n", "urgent": true, "lines": [1],
        "limit": 1.5});
    assert_eq!(check(&[payment(), all, json!({"type": "https://t/file"})], &known()), Ok(()));
    let without = |name: &str| {
        let mut detail = payment();
        detail.as_object_mut().unwrap().remove(name);
        detail
    };
    let deep = (0..8).fold(json!({}), |inner, _| json!({ "a": inner }));
    for (wrong, told) in [
        (with("type", json!("payments")), "[0].type is `payments`, which no configured resource declares"),
        (with("type", json!(1)), "[0].type must be a string"),
        (without("type"), "[0].type must be a string"),
        (with("currency", json!("EUR")), "[0] has `currency`, which its type does not know"),
        (with("actions", json!("initiate")), "[0].actions is not an array of strings"),
        (with("actions", json!(["initiate", 1])), "[0].actions is not an array of strings"),
        (with("amount", json!("5.00")), "[0].amount is not an object"),
        (with("note", json!(null)), "[0].note is not a string"),
        (with("urgent", json!("yes")), "[0].urgent is not a boolean"),
        (with("lines", json!({})), "[0].lines is not an array"),
        (with("limit", json!("1")), "[0].limit is not a number"),
        (without("amount"), "[0].amount must be given"),
        (with("amount", deep), "[0] is nested deeper"),
        (with("note", json!("\u{0}")), "[0] has a control character"),
        (with("amount", json!({"\u{1b}": 1})), "[0] has a member whose name"),
        (with("limit", json!(9_007_199_254_740_992_u64)), "[0] has a whole number beyond"),
        (with("limit", json!(u64::MAX)), "[0] has a whole number beyond"),
        (with("limit", json!(i64::MIN)), "[0] has a whole number beyond"),
        (json!("payment"), "[0].type must be a string"),
    ] {
        let problem = fault(check(std::slice::from_ref(&wrong), &known()));
        assert!(problem.contains(told), "{wrong}: {problem}");
    }
    assert!(fault(check(&vec![payment(); MAX + 1], &known())).contains("more than 16"));
    assert!(fault(check(&[with("note", json!("x".repeat(8_200)))], &known())).contains("8 KiB"));
}

#[test]
fn the_parameter_is_an_array_of_objects() {
    assert_eq!(parse(r#"[{"type":"payment"}]"#), Ok(vec![json!({"type": "payment"})]));
    for wrong in
        ["", "{}", "[1]", "[[]]", "[]", "null", r#"[{"type":"a","type":"b"}]"#, "[{}", &format!("[{}]", "{},".repeat(9_000))]
    {
        assert!(fault(parse(wrong)).starts_with(FIELD), "{wrong}");
    }
}

#[test]
fn less_is_the_same_with_fewer_permissions_and_nothing_else() {
    let granted = [payment(), with("note", json!("rent"))];
    let both = [id("https://pay")];
    let narrowed = |asked: &[Value]| narrow(&granted, asked, &both, &known());
    assert_eq!(narrowed(&[]), Ok(granted.to_vec()));
    for right in [payment(), with("actions", json!(["status"])), with("actions", json!(["status", "initiate"]))] {
        assert_eq!(narrowed(std::slice::from_ref(&right)), Ok(vec![right.clone()]));
    }
    let split = [with("actions", json!(["status"])), with("actions", json!(["initiate"]))];
    assert_eq!(narrowed(&split), Ok(split.to_vec()), "several may be within one");
    let mut without = payment();
    without.as_object_mut().unwrap().remove("amount");
    for more in [
        with("actions", json!(["initiate", "status", "cancel"])),
        with("actions", json!([])),
        with("actions", json!("status")),
        with("amount", json!({"sum": "4.00"})),
        with("note", json!("other")),
        with("locations", json!(["l"])),
        with("type", json!("folder")),
        without,
        json!({"type": "payment"}),
    ] {
        assert!(fault(narrowed(&[payment(), more.clone()])).contains("[1] is not within"), "{more}");
    }
}

#[test]
fn each_resource_is_told_what_is_for_it() {
    let folder = json!({"type": "folder", "privileges": ["read"]});
    let granted = [payment(), folder.clone(), json!({"type": "gone"})];
    assert_eq!(narrow(&granted, &[], &[id("https://files")], &known()), Ok(vec![folder.clone()]));
    let both = [id("https://files"), id("https://pay")];
    assert_eq!(narrow(&granted, &[], &both, &known()), Ok(vec![payment(), folder.clone()]), "in the grant's order");
    assert!(fault(narrow(&granted, &[folder, payment()], &[id("https://files")], &known())).contains("[1] is for a resource"));
}
