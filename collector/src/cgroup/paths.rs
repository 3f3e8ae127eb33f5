//! From a process's cgroup membership and the mount table to directories.
//!
//! A container that sees only its own cgroup tree (a private cgroup namespace, or a bind mount of a
//! subtree) reads paths here that lead nowhere; they are refused, never guessed at.

use std::path::{Path, PathBuf};

/// The directories that hold a container's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hierarchy {
    /// One directory per controller.
    V1(V1Paths),
    /// One directory.
    V2(PathBuf),
}

/// Directories of the version 1 controllers that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct V1Paths {
    pub(super) cpu: PathBuf,
    pub(super) cpuacct: PathBuf,
    pub(super) memory: PathBuf,
    pub(super) blkio: Option<PathBuf>,
    pub(super) pids: Option<PathBuf>,
}

/// Where each cgroup hierarchy is mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts {
    v1: Vec<(Vec<String>, PathBuf)>,
    v2: Option<PathBuf>,
}

impl Mounts {
    /// Reads `<proc>/self/mountinfo`; empty when it cannot be read.
    #[must_use]
    pub fn read(proc: &Path) -> Self {
        Self::of_mountinfo(&std::fs::read_to_string(proc.join("self/mountinfo")).unwrap_or_default())
    }

    /// Mounts of whole hierarchies (root `/`) only.
    fn of_mountinfo(mountinfo: &str) -> Self {
        let mut mounts = Self::default();
        for line in mountinfo.lines() {
            let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
            let mut mount = mount.split(' ').skip(3);
            let (Some(root), Some(point)) = (mount.next(), mount.next()) else { continue };
            if root != "/" {
                continue;
            }
            let mut filesystem = filesystem.split(' ');
            match filesystem.next() {
                Some("cgroup") => {
                    let options = filesystem.nth(1).unwrap_or_default();
                    let controllers = options.split(',').map(str::to_owned).collect();
                    mounts.v1.push((controllers, PathBuf::from(point)));
                }
                Some("cgroup2") => mounts.v2 = Some(PathBuf::from(point)),
                _ => {}
            }
        }
        mounts
    }

    fn v1_dir(&self, membership: &str, controller: &str, id: &str) -> Option<(PathBuf, String)> {
        let path = membership_path(membership, |c| c.split(',').any(|c| c == controller), id)?;
        let (_, point) =
            self.v1.iter().find(|(controllers, _)| controllers.iter().any(|c| c == controller))?;
        Some((below(point, path), path.to_owned()))
    }
}

/// The directories of the cgroup that `membership` (the text of `/proc/<pid>/cgroup`) names, and its path.
pub(super) fn resolve(membership: &str, mounts: &Mounts, id: &str) -> Option<(Hierarchy, String)> {
    let dir = |controller| mounts.v1_dir(membership, controller, id);
    if let Some((memory, path)) = dir("memory") {
        let paths = V1Paths {
            cpu: dir("cpu")?.0,
            cpuacct: dir("cpuacct")?.0,
            memory,
            blkio: dir("blkio").map(|(dir, _)| dir),
            pids: dir("pids").map(|(dir, _)| dir),
        };
        return Some((Hierarchy::V1(paths), path));
    }
    let path = membership_path(membership, str::is_empty, id)?;
    let dir = below(mounts.v2.as_ref()?, path);
    Some((Hierarchy::V2(dir), path.to_owned()))
}

/// The path of the line whose controllers fulfil `wanted`, when it belongs to the container `id`.
fn membership_path<'a>(membership: &'a str, wanted: impl Fn(&str) -> bool, id: &str) -> Option<&'a str> {
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        if wanted(controllers) {
            // `..` shows that the path lies outside of the tree this process sees.
            let is_its_own = !id.is_empty() && path.contains(id) && !path.contains("..");
            return is_its_own.then_some(path);
        }
    }
    None
}

fn below(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_MOUNTS: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime shared:9 - cgroup cgroup rw,blkio
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn version_1_has_a_directory_per_controller() {
        let mounts = Mounts::of_mountinfo(V1_MOUNTS);
        let membership =
            "4:memory:/docker/ab12\n3:blkio:/docker/ab12\n1:cpu,cpuacct:/docker/ab12\n0::/docker/ab12";
        let (hierarchy, path) = resolve(membership, &mounts, "ab12").unwrap();
        assert_eq!(path, "/docker/ab12");
        let Hierarchy::V1(paths) = hierarchy else { panic!("{hierarchy:?}") };
        assert_eq!(paths.memory, Path::new("/sys/fs/cgroup/memory/docker/ab12"));
        assert_eq!(paths.cpu, Path::new("/sys/fs/cgroup/cpu,cpuacct/docker/ab12"));
        assert_eq!(paths.cpuacct, paths.cpu);
        assert_eq!(paths.pids, None, "not mounted");
    }

    #[test]
    fn version_2_has_one_directory() {
        let mounts = Mounts::of_mountinfo("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate");
        let found = resolve("0::/system.slice/docker-ab12.scope\n", &mounts, "ab12").unwrap();
        let dir = PathBuf::from("/sys/fs/cgroup/system.slice/docker-ab12.scope");
        assert_eq!(found, (Hierarchy::V2(dir), "/system.slice/docker-ab12.scope".to_owned()));
    }

    #[test]
    fn paths_of_others_and_of_other_namespaces_are_refused() {
        let mounts = Mounts::of_mountinfo("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw");
        for membership in ["0::/", "0::/user.slice/session-1.scope", "0::/../ab12", "", "x", "0::"] {
            assert_eq!(resolve(membership, &mounts, "ab12"), None, "{membership}");
        }
        let subtree = Mounts::of_mountinfo("30 23 0:26 /docker/me /sys/fs/cgroup rw - cgroup2 cgroup2 rw");
        assert_eq!(resolve("0::/docker/ab12", &subtree, "ab12"), None, "only a part is mounted");
        assert_eq!(resolve("0::/docker/ab12", &mounts, ""), None, "no id");
    }
}
