//! One Docker event as our own event.
//!
//! Docker mixes a container's labels into the attributes, where they override: a container labelled
//! `exitCode=77` dies with `exitCode=77` whatever happened. So an attribute counts only when the container has
//! no label of that name; the facts of an inspect count more.

use std::collections::HashMap;

use bollard::models::EventMessage;
use store::lifecycle::{Action, Event};

use crate::stats::Facts;

/// The id of the container an event is about; for network events that is an attribute.
pub(super) fn container_id(message: &EventMessage) -> Option<&str> {
    let actor = message.actor.as_ref()?;
    let id = if is_network(message) {
        actor.attributes.as_ref()?.get("container")?.as_str()
    } else {
        actor.id.as_deref()?
    };
    (!id.is_empty()).then_some(id)
}

/// When it happened, nanoseconds since the epoch.
pub(super) fn time_ns(message: &EventMessage) -> Option<i64> {
    message.time_nano.or_else(|| message.time?.checked_mul(1_000_000_000))
}

/// What happened; `None` for what is not recorded (exec, attach, top, ...).
pub(super) fn action(message: &EventMessage) -> Option<Action> {
    let action = message.action.as_deref()?;
    let (action, _) = action.split_once(':').unwrap_or((action, ""));
    Some(match (is_network(message), action) {
        (true, "connect") => Action::NetworkConnect,
        (true, "disconnect") => Action::NetworkDisconnect,
        (true, _) => return None,
        (false, "create") => Action::Create,
        (false, "start") => Action::Start,
        (false, "die") => Action::Die,
        (false, "oom") => Action::Oom,
        (false, "kill") => Action::Kill,
        (false, "stop") => Action::Stop,
        (false, "restart") => Action::Restart,
        (false, "pause") => Action::Pause,
        (false, "unpause") => Action::Unpause,
        (false, "rename") => Action::Rename,
        (false, "update") => Action::Update,
        (false, "health_status") => Action::HealthStatus,
        (false, "destroy" | "remove") => Action::Destroy,
        _ => return None,
    })
}

/// The event, as far as the message tells; `None` for what is not recorded.
pub(super) fn event(message: &EventMessage, facts: Option<&Facts>) -> Option<Event> {
    let action = action(message)?;
    let none = HashMap::new();
    let attributes = message.actor.as_ref().and_then(|a| a.attributes.as_ref()).unwrap_or(&none);
    let attribute = |name: &str| {
        let is_label = !is_network(message) && facts.is_some_and(|f| f.labels.contains_key(name));
        attributes.get(name).map(String::as_str).filter(|_| !is_label)
    };
    // A network event's `name` is the network's.
    let name = if is_network(message) { None } else { attribute("name") };
    let name = name.unwrap_or_default().trim_start_matches('/');
    let mut event = Event::new(action, container_id(message)?, name);
    event.image = attribute("image").unwrap_or_default().to_owned();
    match action {
        Action::Kill => event.signal = attribute("signal").and_then(|s| s.parse().ok()),
        Action::Die => event.exit_code = attribute("exitCode").and_then(|code| code.parse().ok()),
        Action::NetworkConnect | Action::NetworkDisconnect => {
            event.network = attribute("name").map(str::to_owned);
            event.image.clear();
        }
        Action::Rename => {
            event.before = attribute("oldName").map(|name| name.trim_start_matches('/').to_owned());
        }
        Action::HealthStatus => {
            let (_, status) = message.action.as_deref()?.split_once(':')?;
            event.health = Some(status.trim().to_owned());
        }
        _ => {}
    }
    Some(event)
}

fn is_network(message: &EventMessage) -> bool {
    message.typ.as_ref().is_some_and(|typ| typ.to_string() == "network")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> EventMessage {
        serde_json::from_str(json).unwrap()
    }

    fn read(json: &str) -> Option<Event> {
        event(&message(json), None)
    }

    #[test]
    fn events_as_engine_20_10_sends_them_are_read() {
        let die = read(
            r#"{"status":"die","id":"441c","from":"tiny:1","Type":"container","Action":"die","Actor":{"ID":"441c",
                "Attributes":{"exitCode":"137","image":"tiny:1","name":"oom"}},"scope":"local","time":1795253430,"timeNano":1795253430971932119}"#,
        )
        .unwrap();
        assert_eq!((die.action, die.exit_code, die.container.as_str()), (Action::Die, Some(137), "oom"));
        let kill = r#"{"Type":"container","Action":"kill","Actor":{"ID":"a","Attributes":{"signal":"15","name":"x"}}}"#;
        assert_eq!(read(kill).unwrap().signal, Some(15));
        let health =
            r#"{"Type":"container","Action":"health_status: unhealthy","Actor":{"ID":"a","Attributes":{}}}"#;
        assert_eq!(read(health).unwrap().health.as_deref(), Some("unhealthy"));
        let rename = r#"{"Type":"container","Action":"rename","Actor":{"ID":"a","Attributes":{"name":"new","oldName":"/old"}}}"#;
        assert_eq!(read(rename).unwrap().before.as_deref(), Some("old"));
        let network = r#"{"Type":"network","Action":"connect","Actor":{"ID":"n1","Attributes":{"container":"c1","name":"bridge","type":"bridge"}}}"#;
        let network = read(network).unwrap();
        assert_eq!((network.container_id.as_str(), network.network.as_deref()), ("c1", Some("bridge")));
        assert_eq!(network.container, "");
    }

    #[test]
    fn what_is_not_recorded_is_none() {
        for json in [
            "{}",
            r#"{"Type":"container","Action":"exec_create: /bin/sh -c true","Actor":{"ID":"a","Attributes":{}}}"#,
            r#"{"Type":"network","Action":"create","Actor":{"ID":"a","Attributes":{}}}"#,
            r#"{"Type":"container","Action":"die"}"#,
            r#"{"Type":"container","Action":"die","Actor":{"ID":""}}"#,
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn a_label_is_no_attribute() {
        let json = r#"{"Type":"container","Action":"die","Actor":{"ID":"a","Attributes":{"exitCode":"77"}}}"#;
        let labels = [("exitCode".to_owned(), "77".to_owned())].into();
        let facts = Facts { labels, ..Facts::default() };
        assert_eq!(event(&message(json), Some(&facts)).unwrap().exit_code, None);
    }
}
