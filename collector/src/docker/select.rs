//! Which containers are collected: not those that opted out, not those the settings exclude, never our own.

use regex::{Regex, RegexSet, RegexSetBuilder};

use super::container::Description;
use crate::config::CollectConfig;

/// Length of a container id in hex digits.
const ID_LEN: usize = 64;
/// Docker names a container's host after the first digits of its id.
const SHORT_ID_LEN: usize = 12;

/// Decides by label, name and id.
#[derive(Debug)]
pub(crate) struct Selection {
    include: Option<RegexSet>,
    exclude: RegexSet,
    own: Option<String>,
}

impl Selection {
    /// `own` is this process's container, as [`own_container`] finds it: a full id or its beginning.
    pub(crate) fn new(config: &CollectConfig, own: Option<String>) -> Result<Self, regex::Error> {
        let include = &config.include_names;
        Ok(Self {
            include: if include.is_empty() { None } else { Some(patterns(include)?) },
            exclude: patterns(&config.exclude_names)?,
            own,
        })
    }

    /// Why `container` is not collected, `None` when it is.
    pub(super) fn refuses(&self, container: &Description) -> Option<&'static str> {
        self.refuses_named(&container.id, &container.name, container.opted_out())
    }

    /// [`Selection::refuses`] for a container of which this much is known.
    pub(crate) fn refuses_named(&self, id: &str, name: &str, opted_out: bool) -> Option<&'static str> {
        if self.own.as_ref().is_some_and(|own| id.starts_with(own.as_str())) {
            return Some("it is our own");
        }
        if opted_out {
            return Some("its label says so");
        }
        if self.exclude.is_match(name) {
            return Some("`collect.exclude_names` matches its name");
        }
        if self.include.as_ref().is_some_and(|include| !include.is_match(name)) {
            return Some("`collect.include_names` does not match its name");
        }
        None
    }
}

/// Whole-name patterns with `*` and `?`.
fn patterns(globs: &[String]) -> Result<RegexSet, regex::Error> {
    let expressions = globs.iter().map(|glob| {
        let literal = regex::escape(glob).replace(r"\*", ".*").replace(r"\?", ".");
        format!("^{literal}$")
    });
    RegexSetBuilder::new(expressions).dot_matches_new_line(true).build()
}

/// The container this process runs in, if any: its id, or the beginning of it.
///
/// `cgroup` and `mountinfo` are the contents of the files of that name in `/proc/self`; `host_name` is
/// given when the process is known to run in a container.
pub(super) fn own_container(cgroup: &str, mountinfo: &str, host_name: Option<&str>) -> Option<String> {
    let id = Regex::new(r"(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:$|/)").ok()?;
    for line in cgroup.lines() {
        if let Some(found) = id.captures(line) {
            return Some(found[1].to_owned());
        }
    }
    // With private cgroups the path is `/`, but Docker mounts its own files into every container. On the
    // host the same directories show up as mounts of *other* containers, hence the mount points.
    for line in mountinfo.lines() {
        let mut fields = line.split(' ').skip(3);
        let (Some(root), Some(mount_point)) = (fields.next(), fields.next()) else { continue };
        if !matches!(mount_point, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf") {
            continue;
        }
        let mut ids = root.split('/').filter(|part| part.len() == ID_LEN);
        if let Some(found) = ids.find(|part| part.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Some(found.to_owned());
        }
    }
    let host_name = host_name?.trim();
    let short = host_name.len() == SHORT_ID_LEN && host_name.bytes().all(|b| b.is_ascii_hexdigit());
    short.then(|| host_name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "31e0e1c2ed25e33fcf0480ef8fcce560daf43260dcee447c75640388de626c75";

    fn named(name: &str) -> Description {
        Description { id: ID.into(), name: name.into(), ..Description::default() }
    }

    #[test]
    fn names_are_matched_whole() {
        let config = CollectConfig {
            include_names: vec!["web-*".into(), "db".into()],
            exclude_names: vec!["*-test".into(), "web-?".into()],
            ..CollectConfig::default()
        };
        let selection = Selection::new(&config, None).unwrap();
        for (name, collected) in [
            ("web-10", true),
            ("db", true),
            ("db2", false),
            ("web-test", false),
            ("web-1", false),
            ("a.b", false),
        ] {
            assert_eq!(selection.refuses(&named(name)).is_none(), collected, "{name}");
        }
        let dots = CollectConfig { exclude_names: vec!["a.b".into()], ..CollectConfig::default() };
        let selection = Selection::new(&dots, None).unwrap();
        assert!(selection.refuses(&named("axb")).is_none());
        assert!(selection.refuses(&named("a.b")).is_some());
    }

    #[test]
    fn our_own_container_is_never_collected() {
        for own in [ID, "31e0e1c2ed25"] {
            let selection = Selection::new(&CollectConfig::default(), Some(own.to_owned())).unwrap();
            assert!(selection.refuses(&named("x")).is_some());
        }
    }

    #[test]
    fn our_own_container_is_found_in_each_kind_of_cgroup() {
        for cgroup in [
            format!("12:memory:/docker/{ID}\n0::/x\n"),
            format!("0::/system.slice/docker-{ID}.scope\n"),
            format!("0::/user.slice/libpod-{ID}.scope/container\n"),
        ] {
            assert_eq!(own_container(&cgroup, "", None).as_deref(), Some(ID), "{cgroup}");
        }
        let mounts = format!(
            "540 535 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda rw\n"
        );
        assert_eq!(own_container("0::/\n", &mounts, None).as_deref(), Some(ID));
        assert_eq!(own_container("0::/\n", "", Some("31e0e1c2ed25\n")).as_deref(), Some("31e0e1c2ed25"));
    }

    #[test]
    fn a_process_on_the_host_is_in_no_container() {
        let mounts = format!("540 535 0:5 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw\n");
        assert_eq!(own_container("0::/user.slice\n", &mounts, None), None);
        assert_eq!(own_container("0::/\n", "", Some("my-laptop")), None);
        assert_eq!(own_container("", "", None), None);
    }
}
