use super::*;
use crate::certificate::{self, Certificate};

const BILLING: &str = "spiffe://example.com/billing";

fn callers() -> Callers {
    let mut callers = Callers::default();
    let billing = Names {
        spiffe_ids: vec![BILLING.into()],
        dns_names: vec!["billing.internal".into()],
        service_accounts: vec![Names::service_account("payments/billing").unwrap()],
        key_hashes: vec![hash_of_key("jck_billing")],
        any_certificate: false,
    };
    callers.add(Caller::new("billing"), billing).unwrap();
    let shop = Names { dns_names: vec!["shop.internal".into()], ..Names::default() };
    callers.add(Caller::new("shop"), shop).unwrap();
    callers
}

fn certificate(uris: &[&str], dns: &[&str]) -> Certificate {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let vouched = Some(certificate::Names { uris: owned(uris), dns: owned(dns), ..certificate::Names::default() });
    Certificate { vouched, ..Certificate::known_by_thumbprint([1; 32]) }
}

#[test]
fn a_certificate_names_one_caller_or_nobody() {
    let mut callers = callers();
    let cases: [(&[&str], &[&str], Option<&str>); 14] = [
        (&[BILLING], &[], Some("billing")),
        (&[BILLING], &["pod-7.internal"], Some("billing")),
        (&[], &["Billing.Internal"], Some("billing")),
        (&[BILLING], &["billing.internal"], Some("billing")),
        (&[], &["other.internal", "shop.internal"], Some("shop")),
        (&[BILLING], &["shop.internal"], None),
        (&[], &["billing.internal", "shop.internal"], None),
        (&[BILLING, "spiffe://example.com/other"], &[], None),
        (&[BILLING, BILLING], &["shop.internal"], None),
        (&["spiffe://example.org/billing"], &[], None),
        (&["spiffe://example.com/billing/more"], &[], None),
        (&["spiffe://example.com/Billing"], &[], None),
        (&[BILLING], &["*.internal"], None),
        (&[], &["*.internal"], None),
    ];
    let named = |callers: &Callers, shown: &Certificate| callers.by_certificate(shown).map(|caller| caller.name.to_string());
    for (uris, dns, expected) in cases {
        assert_eq!(named(&callers, &certificate(uris, dns)).as_deref(), expected, "{uris:?} {dns:?}");
    }
    assert_eq!(named(&callers, &Certificate::known_by_thumbprint([1; 32])), None, "nobody vouches");

    callers.add(Caller::new("others"), Names { any_certificate: true, ..Names::default() }).unwrap();
    for (uris, dns, expected) in [
        (&["spiffe://example.org/billing"][..], &[][..], Some("others")),
        (&[], &[], Some("others")),
        (&[BILLING], &[], Some("billing")),
        (&[BILLING, "spiffe://example.com/other"], &[], None),
        (&[BILLING], &["shop.internal"], None),
        (&[], &["*.internal"], None),
    ] {
        assert_eq!(named(&callers, &certificate(uris, dns)).as_deref(), expected, "{uris:?} {dns:?}");
    }
    assert_eq!(named(&callers, &Certificate::known_by_thumbprint([1; 32])), None, "nobody vouches");
}

#[test]
fn a_key_and_a_service_account_are_known_letter_by_letter() {
    let callers = callers();
    assert_eq!(&*callers.by_key(hash_of_key("jck_billing")).unwrap().name, "billing");
    assert!(callers.by_key(hash_of_key("jck_billinG")).is_none());
    let mut near = hash_of_key("jck_billing");
    near[31] ^= 1;
    assert!(callers.by_key(near).is_none(), "all of it is compared");
    assert_eq!(&*callers.by_service_account("system:serviceaccount:payments:billing").unwrap().name, "billing");
    for other in ["system:serviceaccount:payments:billing2", "system:serviceaccount:other:billing", "payments/billing", ""] {
        assert!(callers.by_service_account(other).is_none(), "{other}");
    }
}

#[test]
fn what_is_known_by_a_name_is_one_caller() {
    let again = [
        (Names { spiffe_ids: vec![BILLING.into()], ..Names::default() }, "spiffe_ids"),
        (Names { dns_names: vec!["new.internal".into(), "shop.internal".into()], ..Names::default() }, "dns_names"),
        (
            Names { service_accounts: vec![Names::service_account("payments/billing").unwrap()], ..Names::default() },
            "service_accounts",
        ),
        (Names { key_hashes: vec![hash_of_key("jck_billing")], ..Names::default() }, "key_hashes"),
    ];
    for (names, setting) in again {
        let mut callers = callers();
        assert_eq!(callers.add(Caller::new("again"), names).unwrap_err().setting, setting);
        assert_eq!(callers, self::callers(), "it is as it was");
    }
}

#[test]
fn a_caller_may_what_it_is_given_and_is_told_what_is_missing() {
    let id = |text| ClientId::parse("client_id", text).unwrap();
    let resource = |text| ResourceId::parse("resource", text).unwrap();
    let (web, orders) = (id("web"), resource("https://orders"));
    let told = |judged: Result<()>| judged.err().map(|error| error.to_string()).unwrap_or_default();
    let nobody = Caller::new("x");
    for permission in Permission::ALL {
        assert!(told(nobody.may(permission)).contains(permission.word()));
        assert_eq!(Permission::parse(permission.word()), Some(permission));
        assert_eq!(Caller::anyone().may(permission), Ok(()));
    }
    assert!(told(nobody.may_act_for(&web)).contains("caller `x` may not act for client `web`"));
    assert!(
        nobody.may_act_for_all().is_err() && nobody.may_assert_certificate().is_err() && nobody.may_report_arrivals().is_err()
    );
    assert!(nobody.may_introspect_for(None).is_err() && nobody.may_introspect_for(Some(&orders)).is_err());

    let some = Caller {
        permissions: Reach::Some([Permission::Refresh].into()),
        clients: Reach::Some([web.clone()].into()),
        resources: Reach::Some([orders.clone()].into()),
        ..Caller::new("x")
    };
    assert_eq!(some.may(Permission::Refresh), Ok(()));
    assert!(some.may(Permission::Issue).is_err());
    assert_eq!(some.may_act_for(&web), Ok(()));
    assert!(some.may_act_for(&id("other")).is_err() && some.may_act_for_all().is_err());
    assert_eq!(some.may_introspect_for(Some(&orders)), Ok(()));
    assert!(some.may_introspect_for(Some(&resource("https://other"))).is_err() && some.may_introspect_for(None).is_err());
}

#[test]
fn what_can_be_no_name_is_told() {
    for right in [BILLING, "spiffe://td/a/b-c_d.e/F"] {
        assert_eq!(Names::spiffe_id(right).as_deref(), Ok(right));
    }
    for wrong in [
        "",
        "spiffe://",
        "spiffe://td",
        "spiffe://td/",
        "spiffe:///a",
        "spiffe://td/a/",
        "spiffe://td//a",
        "spiffe://td/./a",
        "spiffe://td/../a",
        "spiffe://TD/a",
        "SPIFFE://td/a",
        "https://td/a",
        "spiffe://td/a?b",
        "spiffe://td/a#b",
        "spiffe://td/a%41",
        "spiffe://td/*",
        "spiffe://u@td/a",
        "spiffe://td:1/a",
        "spiffe://td/a\0",
    ] {
        assert!(Names::spiffe_id(wrong).is_err(), "{wrong:?}");
    }
    for wrong in
        ["", "billing", "/billing", "payments/", "a/b/c", "Payments/billing", "pay:ments/billing", "a.b/c", "payments/b:c"]
    {
        assert!(Names::service_account(wrong).is_err(), "{wrong:?}");
    }
}
