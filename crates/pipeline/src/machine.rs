//! What a run may use of the machine.

/// What a run may use of the machine. It decides where and whether something runs, never what a stage is: a finished
/// stage stays fresh when it changes.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Bytes of memory that training may take.
    pub memory: u64,
    /// Where models are trained and run, by name: `cpu`, `cuda:1`, …; the engine only hands it on.
    pub device: String,
}

impl Default for Machine {
    fn default() -> Self {
        Self { memory: available(), device: "cpu".to_owned() }
    }
}

/// Bytes of memory that this process may use: the machine's, or what its control group allows. Where the system does not
/// say, there is no limit.
pub fn available() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? << 10)
    });
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.unwrap_or(u64::MAX).min(group.unwrap_or(u64::MAX))
}

/// Reads a size such as `3GB`, `512MiB` or `1500000000`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.trim()[digits.len()..].to_ascii_lowercase();
    let factor = match unit.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "kib" => 1024.0,
        "m" | "mb" => 1e6,
        "mib" => 1024.0 * 1024.0,
        "g" | "gb" => 1e9,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("`{text}` is not a size; allowed: a number with kB, MB, GB, KiB, MiB or GiB")),
    };
    match digits.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok((number * factor) as u64),
        _ => Err(format!("`{text}` is not a size; allowed: a number with kB, MB, GB, KiB, MiB or GiB")),
    }
}

/// A size for people.
pub fn in_words(bytes: u64) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes => format!("{:.0} MB", bytes / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_size("3GB"), Ok(3_000_000_000));
        assert_eq!(parse_size("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(parse_size("100"), Ok(100));
        assert!(parse_size("much").is_err() && parse_size("3 apples").is_err() && parse_size("-1GB").is_err());
        assert_eq!(in_words(2_500_000_000), "2.5 GB");
    }
}
