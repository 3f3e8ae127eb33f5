//! CPU time of processes, from `/proc`.

use super::harness::engine::Engine;

/// CPU time of dockerd, containerd and the shims, their ended children included: all have the engine's folder
/// in their command line, as has Binnacle (`own_pid`), which does not count.
pub(crate) fn engine_seconds(engine: &Engine, own_pid: Option<&str>) -> f64 {
    let folder = engine.data_root().parent().unwrap().display().to_string();
    let mut seconds = 0.0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if Some(pid.as_str()) != own_pid
            && String::from_utf8_lossy(&command).contains(&format!("{folder}/exec"))
        {
            seconds += cpu_seconds(&pid);
        }
    }
    seconds
}

/// User and system time so far, ended children included; 0 for a process that has ended.
pub(crate) fn cpu_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, fields)) = stat.rsplit_once(") ") else { return 0.0 };
    fields.split(' ').skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}
