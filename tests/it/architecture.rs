//! Who may depend on whom, as `ARCHITECTURE.md` says it.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The workspace's packages with the names of what each depends on: in its product, and in all.
fn dependencies() -> BTreeMap<String, [BTreeSet<String>; 2]> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &Value| value.as_str().expect("a name").to_owned();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let row = |package: &Value| {
        let all = package["dependencies"].as_array().expect("a list of dependencies");
        let product = all.iter().filter(|dependency| dependency["kind"] != "dev");
        let product = product.map(|dependency| text(&dependency["name"])).collect();
        let all = all.iter().map(|dependency| text(&dependency["name"])).collect();
        (text(&package["name"]), [product, all])
    };
    packages.iter().map(row).collect()
}

#[test]
fn crates_depend_only_on_those_that_the_plan_of_the_house_allows() {
    let dependencies = dependencies();
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("bursar-ledger", [].as_slice()),
        ("bursar-protocol", &["bursar-ledger"]),
        ("bursar-persistence", &["bursar-ledger"]),
        ("bursar-actors", &["bursar-ledger", "bursar-persistence"]),
        ("bursar-client", &["bursar-ledger", "bursar-protocol"]),
        ("bursar-loadtest", &["bursar-client"]),
        ("bursar-fuzz", &["bursar-ledger", "bursar-protocol", "bursar-persistence", "bursar"]),
        (
            "bursar",
            &["bursar-ledger", "bursar-protocol", "bursar-persistence", "bursar-actors", "bursar-client"],
        ),
    ]);
    let packages: Vec<&str> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(
        packages,
        allowed.keys().copied().collect::<Vec<_>>(),
        "a new crate has to find its place here"
    );
    for (package, [_, all]) in &dependencies {
        let ours = all.iter().filter(|name| dependencies.contains_key(*name));
        let forbidden: Vec<&String> =
            ours.filter(|name| !allowed[package.as_str()].contains(&name.as_str())).collect();
        assert!(forbidden.is_empty(), "{package} must not depend on {forbidden:?}");
    }
}

#[test]
fn only_their_own_crates_know_the_actors_the_storage_and_the_encoding() {
    let check = |is_meant: fn(&str) -> bool, expected: &[&str]| {
        let dependencies = dependencies();
        let know = dependencies.iter().filter(|(_, [_, all])| all.iter().any(|name| is_meant(name)));
        assert_eq!(know.map(|(package, _)| package.as_str()).collect::<Vec<_>>(), expected);
    };
    check(|name| name.starts_with("actix"), &["bursar", "bursar-actors"]);
    check(|name| name == "sled", &["bursar-persistence"]);
    check(|name| name == "fjall", &["bursar-persistence"]);
    check(|name| name == "bincode", &["bursar-persistence", "bursar-protocol"]);
}

#[test]
fn the_rules_of_money_need_nothing_but_the_language() {
    let dependencies = dependencies();
    let [product, _] = &dependencies["bursar-ledger"];
    assert!(product.is_empty(), "{product:?}");
}
