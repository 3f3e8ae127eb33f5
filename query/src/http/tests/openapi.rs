//! The document names exactly the routes and parameters there are.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde_json::Value;

use super::super::{explain, listing, openapi, routes, search, tail, trace, why};

fn document() -> Value {
    serde_json::from_str(openapi::DOCUMENT).unwrap()
}

#[test]
fn every_route_is_documented_and_nothing_else() {
    let routes: BTreeSet<String> = routes().into_iter().map(|(path, _)| path.to_owned()).collect();
    let documented: BTreeSet<String> = document()["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(routes, documented);
}

fn names<T: JsonSchema>() -> BTreeSet<String> {
    let schema = serde_json::to_value(schemars::schema_for!(T)).unwrap();
    schema["properties"]
        .as_object()
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}

#[test]
fn every_parameter_is_documented_and_nothing_else() {
    let document = document();
    for (path, expected) in [
        ("/api/v1/search", names::<search::SearchParams>()),
        ("/api/v1/explain", names::<explain::ExplainParams>()),
        ("/api/v1/tail", names::<tail::TailParams>()),
        ("/api/v1/traces/{id}", names::<trace::TraceParams>()),
        ("/api/v1/why", names::<why::WhyParams>()),
        ("/api/v1/why/{container}", names::<why::WhyParams>()),
        ("/api/v1/containers", names::<listing::NoParams>()),
        ("/api/v1/labels", names::<listing::RangeParams>()),
        ("/api/v1/stats", names::<listing::RangeParams>()),
    ] {
        let none = Vec::new();
        let given = document["paths"][path]["get"]["parameters"].as_array().unwrap_or(&none);
        let documented: BTreeSet<String> = given
            .iter()
            .map(|parameter| match parameter["$ref"].as_str() {
                Some(reference) => document
                    .pointer(reference.trim_start_matches('#'))
                    .unwrap_or_else(|| panic!("{reference}")),
                None => parameter,
            })
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(documented, expected, "{path}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(map) => map.iter().for_each(|(name, inner)| {
                if name == "$ref" {
                    let place = inner.as_str().unwrap().trim_start_matches('#');
                    assert!(document.pointer(place).is_some(), "{inner}");
                }
                check(document, inner);
            }),
            Value::Array(list) => list.iter().for_each(|inner| check(document, inner)),
            _ => {}
        }
    }
    let document = document();
    check(&document, &document);
}
