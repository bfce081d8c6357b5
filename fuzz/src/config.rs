//! The configuration file: what is accepted can be written down and read again; what is refused is refused in one line.
//!
//! Input: the file. Only the file: neither the environment nor flags, which come after it.

use crate::bounds::within;
use crate::config_file::{Config, ConfigError, Effective, effective};
use figment::Figment;
use figment::providers::{Format, Serialized, Toml};
use std::fmt::Write;
use std::sync::OnceLock;

/// To each byte of a file: its tokens, its tree, and the words of a fault, which quote it.
const BYTES_PER_FILE_BYTE: u64 = 1_024;

/// What the defaults and their sources take.
const DEFAULTS_BYTES: u64 = 256 * 1024;

/// Checks it for one input.
pub fn check(input: &[u8]) {
    // What is not UTF-8 is refused by the standard library, before any of this.
    let Ok(text) = str::from_utf8(input) else { return };
    let bytes_max = DEFAULTS_BYTES + BYTES_PER_FILE_BYTE * text.len() as u64;
    match within(bytes_max, || load(text)) {
        Ok(loaded) => {
            let written = write_down(&loaded);
            match load(&written) {
                Ok(again) => assert_eq!(again.config, loaded.config, "{written}"),
                Err(error) => panic!("{error}: {written}"),
            }
        }
        Err(error) => check_refusal(&error, text),
    }
}

fn load(text: &str) -> Result<Effective, ConfigError> {
    static DEFAULTS: OnceLock<Figment> = OnceLock::new();
    let defaults = DEFAULTS.get_or_init(|| Figment::from(Serialized::defaults(Config::default())));
    effective(&defaults.clone().merge(Toml::string(text)))
}

/// The file that says what was understood.
fn write_down(loaded: &Effective) -> String {
    let mut file = String::new();
    let values = serde_json::to_value(&loaded.config).expect("a configuration has names and plain values");
    for (key, value) in values.as_object().expect("a configuration has names") {
        // A JSON string is a TOML string, but for DEL, which only JSON takes as it is.
        let value = value.to_string().replace('\u{7f}', "\\u007f");
        writeln!(file, "{key} = {value}").expect("writing to memory");
    }
    file
}

fn check_refusal(error: &ConfigError, text: &str) {
    let words = error.to_string();
    assert!(!words.trim().is_empty(), "a refusal without words");
    assert!(!words.contains('\n'), "one line: {words}");
    // It may quote the file, and names every fault in it.
    assert!(words.len() <= 1_024 + 64 * text.len(), "a refusal of {} bytes", words.len());
}
