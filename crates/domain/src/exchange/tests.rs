//! Each rule of an exchange by itself.

use super::*;
use crate::client::{Algorithm, ClientKind, GrantType, MutualTls, ReusePolicy, Rotation};
use crate::details::DetailsType;
use crate::id::TargetId;
use crate::policy::AuthenticationPolicy;
use crate::resource::{Resource, TokenFormat};
use crate::revision::Born;
use serde_json::json;

const NOW: Timestamp = Timestamp::from_secs(1_000);
const ORDERS: &str = "https://orders.internal";
const PAYMENTS: &str = "https://payments.internal";

fn id(text: &str) -> ResourceId {
    ResourceId::parse("resource", text).unwrap()
}

fn scopes(text: &str) -> Scopes {
    Scopes::parse("scope", text).unwrap()
}

fn name(text: &str) -> ClientId {
    ClientId::parse("client_id", text).unwrap()
}

fn resources() -> Resources {
    let resource = |text: &str, owns: &str, details: &[&str], secs| Resource {
        id: id(text),
        scopes: scopes(owns),
        details_types: details.iter().map(|text| DetailsType::parse("details", text).unwrap()).collect(),
        format: TokenFormat::Jwt,
        algorithm: Algorithm::EdDsa,
        access_token_lifetime: Millis::from_secs(secs),
        policy: AuthenticationPolicy::default(),
    };
    let orders = resource(ORDERS, "orders:read orders:write", &["order(actions!)", "stock(actions!)"], 300);
    Resources::new(vec![orders, resource(PAYMENTS, "pay", &["payment(actions!)"], 60)])
}

/// The server of orders.
fn client() -> Client {
    Client {
        id: name("orders"),
        kind: ClientKind::Confidential { secret_hashes: vec![[1; 32]], keys: None },
        grant_types: vec![GrantType::TokenExchange],
        scopes: scopes("orders:read pay"),
        resources: vec![id(ORDERS), id(PAYMENTS)],
        details_types: vec!["order".into(), "payment".into()],
        backchannel_logout_uri: None,
        redirect_uris: Vec::new(),
        serves: vec![id(ORDERS)],
        impersonates: false,
        idle_lifetime: Millis::from_secs(60),
        absolute_lifetime: Millis::from_secs(60),
        rotation: Rotation::default(),
        reuse: ReusePolicy::default(),
        grants_per_subject: 1,
        id_token_algorithm: Algorithm::EdDsa,
        id_token_lifetime: Millis::from_secs(60),
        mutual_tls: MutualTls::default(),
    }
}

/// What a token says, for `Shown` to borrow.
#[derive(Clone)]
struct Token {
    sub: &'static str,
    client: ClientId,
    scopes: Scopes,
    audience: Vec<String>,
    details: Vec<Value>,
    exp: u64,
    sign_in: SignIn,
    binding: Option<Binding>,
    act: Option<Map<String, Value>>,
    claims: Map<String, Value>,
    life: Ancestor,
    ancestors: Vec<Ancestor>,
}

impl Token {
    /// Alice's, of the shop, for orders.
    fn alices() -> Self {
        Self {
            sub: "alice",
            client: name("shop"),
            scopes: scopes("openid orders:read orders:write pay"),
            audience: vec![ORDERS.into()],
            details: Vec::new(),
            exp: 1_200,
            sign_in: SignIn { auth_time: Some(NOW), acr: None, amr: Vec::new(), method: GrantType::TokenExchange },
            binding: None,
            act: None,
            claims: Map::new(),
            life: life(1),
            ancestors: Vec::new(),
        }
    }

    /// Bob's, for orders.
    fn bobs() -> Self {
        Self { sub: "bob", exp: 1_100, life: life(2), ..Self::alices() }
    }

    fn shown(&self) -> Shown<'_> {
        Shown {
            sub: self.sub,
            client: &self.client,
            scopes: &self.scopes,
            audience: &self.audience,
            details: &self.details,
            exp: Timestamp::from_secs(self.exp),
            sign_in: &self.sign_in,
            binding: self.binding,
            act: self.act.as_ref(),
            claims: &self.claims,
            life: &self.life,
            ancestors: &self.ancestors,
        }
    }
}

fn life(byte: u8) -> Ancestor {
    Ancestor { born: Born(byte.into()), grant: None, targets: vec![TargetId([byte; 16])] }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// An exchange of `subject`, by `client`, for this scope and these resources, with this proof.
fn exchange(client: &Client, subject: &Token, actor: Option<&Token>, scope: &str, named: &[&str], proof: Proof) -> Result<Plan> {
    let (scopes, resources): (_, Vec<_>) = (scopes(scope), named.iter().map(|text| id(text)).collect());
    let actor = actor.map(Token::shown);
    let asked = Asked { subject: subject.shown(), actor, scopes: &scopes, resources: &resources, details: &[], proof: &proof };
    plan(NOW, &asked, client, &self::resources())
}

fn of(client: &Client, subject: &Token, actor: Option<&Token>) -> Result<Plan> {
    exchange(client, subject, actor, "", &[], Proof::default())
}

fn with_proof(subject: &Token, actor: Option<&Token>, proof: Proof) -> Result<Option<Binding>> {
    exchange(&client(), subject, actor, "", &[], proof).map(|plan| plan.binding)
}

#[test]
fn only_access_tokens_are_named_and_the_actors_type_beside_it_only() {
    let types = |subject, actor, requested, has_actor| Types { subject, actor, requested }.check(has_actor).is_ok();
    let (access, other) = (Some(ACCESS_TOKEN), Some("urn:ietf:params:oauth:token-type:id_token"));
    assert!(types(access, None, None, false) && types(access, access, access, true));
    for (subject, actor, requested, has_actor) in [
        (None, None, None, false),
        (other, None, None, false),
        (access, access, None, false),
        (access, None, None, true),
        (access, other, None, true),
        (access, None, other, false),
    ] {
        assert!(!types(subject, actor, requested, has_actor), "{subject:?} {actor:?} {requested:?}");
    }
}

#[test]
fn scopes_are_those_of_all_three_and_never_more() {
    let scope = |asked: &str, named: &[&str]| {
        let plan = exchange(&client(), &Token::alices(), None, asked, named, Proof::default());
        plan.map(|plan| (plan.audience.scopes.to_string(), plan.audience.resources))
    };
    assert_eq!(scope("", &[]), Ok(("orders:read".into(), vec![id(ORDERS)])), "the subject token's resources");
    assert_eq!(scope("", &[PAYMENTS]), Ok(("pay".into(), vec![id(PAYMENTS)])));
    assert_eq!(scope("pay", &[]), Ok(("pay".into(), vec![id(PAYMENTS)])), "the owner of the scope");
    assert_eq!(scope("orders:read", &[PAYMENTS]), Ok((String::new(), vec![id(PAYMENTS)])), "a token that may nothing");
    for outside in ["orders:write", "refund", "openid", "orders:read refund"] {
        assert!(matches!(scope(outside, &[]), Err(Error::InvalidScope { .. })), "{outside}");
    }
    let poor = Token { scopes: scopes("orders:read"), ..Token::alices() };
    assert!(matches!(exchange(&client(), &poor, None, "pay", &[], Proof::default()), Err(Error::InvalidScope { .. })));
}

#[test]
fn resources_are_those_that_the_client_may_be_given_tokens_for() {
    let poor = Client { resources: vec![id(PAYMENTS)], ..client() };
    let target = |client: &Client, named: &[&str]| exchange(client, &Token::alices(), None, "", named, Proof::default());
    for refused in [target(&poor, &[ORDERS]), target(&poor, &[]), target(&client(), &["https://unknown"])] {
        assert!(matches!(refused, Err(Error::InvalidTarget { .. })), "{refused:?}");
    }
    assert!(target(&poor, &[PAYMENTS]).is_ok());
}

#[test]
fn it_ends_no_later_than_any_token_that_it_was_exchanged_for() {
    let lifetime = |subject: &Token, actor: Option<&Token>| of(&client(), subject, actor).unwrap().form.lifetime.secs();
    assert_eq!(lifetime(&Token::alices(), None), 200);
    assert_eq!(lifetime(&Token::alices(), Some(&Token::bobs())), 100);
    assert_eq!(lifetime(&Token { exp: 9_000, ..Token::alices() }, None), 300, "as long as the resource's tokens live");
}

#[test]
fn who_acts_is_named_and_who_did_before_inside() {
    let act =
        |client: &Client, subject: &Token, actor: Option<&Token>| of(client, subject, actor).unwrap().act.map(Value::Object);
    let (plain, impersonating) = (client(), Client { impersonates: true, ..client() });
    let delegated = Token { act: Some(object(json!({"sub": "cart"}))), ..Token::alices() };
    assert_eq!(act(&plain, &Token::alices(), None), Some(json!({"sub": "orders"})));
    assert_eq!(act(&plain, &Token::alices(), Some(&Token::bobs())), Some(json!({"sub": "bob"})));
    assert_eq!(act(&plain, &delegated, None), Some(json!({"sub": "orders", "act": {"sub": "cart"}})));
    assert_eq!(act(&impersonating, &Token::alices(), None), None);
    assert_eq!(act(&impersonating, &delegated, None), Some(json!({"sub": "cart"})), "nobody is left out");
    assert_eq!(act(&impersonating, &Token::alices(), Some(&Token::bobs())), Some(json!({"sub": "bob"})));
    let acting = Token { act: Some(object(json!({"sub": "carol"}))), ..Token::bobs() };
    assert_eq!(of(&plain, &Token::alices(), Some(&acting)), Err(Refusal::ActorIsDelegated.into()));
}

#[test]
fn may_act_names_the_one_party_that_may() {
    let may = |may_act: Value, actor: Option<&Token>| {
        let subject = Token { claims: Map::from_iter([(MAY_ACT.to_owned(), may_act)]), ..Token::alices() };
        of(&Client { impersonates: true, ..client() }, &subject, actor).map(|_plan| ())
    };
    let (refused, bob) = (Err(Refusal::MayNotAct.into()), Token::bobs());
    assert_eq!(may(json!({"sub": "orders"}), None), Ok(()));
    assert_eq!(may(json!({"sub": "bob"}), Some(&bob)), Ok(()));
    for (other, actor) in [
        (json!({"sub": "cart"}), None),
        (json!({"sub": "bob"}), None),
        (json!({"sub": "orders"}), Some(&bob)),
        (json!({"sub": "orders", "iss": "https://other"}), None),
        (json!({}), None),
        (json!("orders"), None),
    ] {
        assert_eq!(may(other.clone(), actor), refused, "{other}");
    }
}

#[test]
fn it_carries_the_lives_of_all_that_it_was_exchanged_for_and_of_a_bounded_number() {
    let old = Token { ancestors: vec![life(7), life(8)], ..Token::alices() };
    let plan = of(&client(), &old, Some(&Token::bobs())).unwrap();
    assert_eq!(plan.ancestors, [life(1), life(7), life(8), life(2)]);
    let deep = |behind| Token { ancestors: (0..behind).map(|_| life(9)).collect(), ..Token::alices() };
    assert!(of(&client(), &deep(MAX_ANCESTORS - 1), None).is_ok());
    assert_eq!(of(&client(), &deep(MAX_ANCESTORS), None), Err(Refusal::TooDeep.into()));
    assert_eq!(of(&client(), &deep(MAX_ANCESTORS - 1), Some(&Token::bobs())), Err(Refusal::TooDeep.into()));
}

#[test]
fn what_is_bound_is_exchanged_by_its_holder_or_for_what_is_bound_too() {
    let jkt = |byte| Proof { jkt: Some([byte; 32]), x5t: None };
    let x5t = |byte| Proof { jkt: None, x5t: Some([byte; 32]) };
    let unproved = Err(Refusal::Unproved(Role::Subject).into());
    let other_key = Err(dpop::Refusal::OtherBinding.into());
    let sent = |binding| Token { binding: Some(binding), ..Token::alices() };
    let own = |binding| Token { client: client().id, ..sent(binding) };

    assert_eq!(with_proof(&Token::alices(), None, Proof::default()), Ok(None));
    assert_eq!(
        with_proof(&Token::alices(), None, jkt(1)),
        Ok(Some(Binding::Jkt([1; 32]))),
        "who proves a key is given a bound one"
    );
    assert_eq!(with_proof(&Token::alices(), None, x5t(1)), Ok(None));

    for bound in [Binding::Jkt([7; 32]), Binding::X5t([7; 32])] {
        assert_eq!(with_proof(&sent(bound), None, Proof::default()), unproved, "it was sent it, and makes no bearer token of it");
        assert_eq!(with_proof(&sent(bound), None, jkt(1)), Ok(Some(Binding::Jkt([1; 32]))));
        assert_eq!(with_proof(&sent(bound), None, x5t(1)), Ok(Some(Binding::X5t([1; 32]))));
        assert_eq!(with_proof(&own(bound), None, Proof::default()), unproved);
    }
    assert_eq!(with_proof(&own(Binding::Jkt([7; 32])), None, jkt(7)), Ok(Some(Binding::Jkt([7; 32]))));
    assert_eq!(with_proof(&own(Binding::Jkt([7; 32])), None, jkt(1)), other_key);
    assert_eq!(with_proof(&own(Binding::Jkt([7; 32])), None, x5t(7)), unproved);
    assert_eq!(with_proof(&own(Binding::X5t([7; 32])), None, x5t(7)), Ok(Some(Binding::X5t([7; 32]))));
    assert_eq!(with_proof(&own(Binding::X5t([7; 32])), None, x5t(1)), unproved);

    let actor = Token { binding: Some(Binding::Jkt([7; 32])), client: client().id, ..Token::bobs() };
    assert_eq!(with_proof(&Token::alices(), Some(&actor), Proof::default()), Err(Refusal::Unproved(Role::Actor).into()));
    assert_eq!(with_proof(&Token::alices(), Some(&actor), jkt(7)), Ok(Some(Binding::Jkt([7; 32]))));
}

#[test]
fn the_sign_in_must_be_what_the_resource_demands() {
    let known = resources();
    let strict = known.iter().cloned().map(|mut resource| {
        resource.policy.amr_values = vec!["mfa".into()];
        resource
    });
    let (subject, none, proof) = (Token::alices(), Scopes::default(), Proof::default());
    let asked = Asked { subject: subject.shown(), actor: None, scopes: &none, resources: &[], details: &[], proof: &proof };
    let refused = plan(NOW, &asked, &client(), &Resources::new(strict.collect()));
    assert!(matches!(refused, Err(Error::ReauthenticationRequired(_))), "{refused:?}");
}

#[test]
fn details_are_those_of_the_subject_token_that_are_of_the_resources_and_that_the_client_may_be_given() {
    let [read, both, stock, pay] = [
        json!({"type": "order", "actions": ["read"]}),
        json!({"type": "order", "actions": ["read", "write"]}),
        json!({"type": "stock", "actions": ["read"]}),
        json!({"type": "payment", "actions": ["pay"]}),
    ];
    let subject = Token { details: vec![both.clone(), stock.clone(), pay.clone()], ..Token::alices() };
    let given = |details: &[Value]| {
        let (scopes, resources, proof) = (scopes("orders:read"), [id(ORDERS)], Proof::default());
        let asked =
            Asked { subject: subject.shown(), actor: None, scopes: &scopes, resources: &resources, details, proof: &proof };
        plan(NOW, &asked, &client(), &self::resources()).map(|plan| plan.audience.details)
    };
    assert_eq!(given(&[]), Ok(vec![both]));
    assert_eq!(given(std::slice::from_ref(&read)), Ok(vec![read]));
    for outside in [stock, pay, json!({"type": "order", "actions": ["delete"]})] {
        let refused = given(std::slice::from_ref(&outside));
        assert!(matches!(refused, Err(Error::InvalidAuthorizationDetails { .. })), "{outside}: {refused:?}");
    }
}
