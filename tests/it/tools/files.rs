//! `read_file` and `write_file`: what they give, and where they never go.

use hookhand::tool::files::PATH_BYTES_MAX;
use hookhand::tool::{OUTPUT_BYTES_MAX, WRITE_BYTES_MAX};
use serde_json::json;

use super::{Bench, SECRET};

#[tokio::test]
async fn files_of_the_files_folder_and_of_a_root_are_read_and_written() {
    let bench = Bench::new().await;
    let written = bench.value("write_file", json!({"path": "notes/today.md", "content": "# Today\n"})).await;
    assert_eq!(written["bytes"], 8);
    assert_eq!(bench.value("read_file", json!({"path": "notes/today.md"})).await, "# Today\n");
    bench.value("write_file", json!({"path": "notes/today.md", "content": {"a": [1]}})).await;
    assert_eq!(bench.text("data/files/notes/today.md"), "{\"a\":[1]}");
    bench.value("write_file", json!({"path": bench.path("root/x"), "content": ""})).await;
    assert_eq!(bench.value("read_file", json!({"path": bench.path("root/x")})).await, "");
    let left: Vec<_> = std::fs::read_dir(bench.path("data/files/notes")).expect("a folder").collect();
    assert_eq!(left.len(), 1, "no draft is left: {left:?}");
}

#[tokio::test]
async fn a_replaced_file_keeps_its_rights_and_a_link_is_followed_within_the_folders_only() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let bench = Bench::new().await;
    let script = bench.program("data/files/run.sh", "old");
    symlink(&script, bench.path("data/files/link")).expect("a link");
    symlink(bench.path("nowhere/at/all"), bench.path("data/files/dangling")).expect("a link");
    bench.value("write_file", json!({"path": "link", "content": "new"})).await;
    assert_eq!(bench.text("data/files/run.sh"), "new");
    let mode = std::fs::metadata(&script).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    bench.value("write_file", json!({"path": "dangling", "content": "mine"})).await;
    assert!(bench.path("data/files/dangling").symlink_metadata().expect("is there").is_file());
    assert!(!bench.path("nowhere").exists());
}

#[tokio::test]
async fn no_path_leads_out() {
    use std::os::unix::fs::symlink;
    let bench = Bench::new().await;
    symlink(bench.path("outside"), bench.path("data/files/out")).expect("a link");
    symlink(bench.path("outside/secret"), bench.path("data/files/secret")).expect("a link");
    symlink("../admin_token", bench.path("data/files/token")).expect("a link");
    symlink(bench.path("data"), bench.path("root/data")).expect("a link");
    std::fs::hard_link(bench.path("data/admin_token"), bench.path("data/files/hard")).expect("a hard link");
    std::fs::hard_link(bench.path(".env"), bench.path("root/env")).expect("a hard link");
    let dir = bench.dir.path().display().to_string();
    let paths = [
        "../admin_token",
        "../ledger.db",
        "../workflows/w.yaml",
        "../workflows/new.yaml",
        "../../config.yaml",
        "../../.env",
        "./.././admin_token",
        "new/../../admin_token",
        "token",
        "hard",
        "out/secret",
        "out/new",
        "secret",
        "/etc/passwd",
        "/proc/self/environ",
        "",
        "a\u{0}b",
        "..",
        ".",
        "/",
    ];
    let within =
        ["/mixed/own.yaml", "/root/env", "/root/data/admin_token", "/root/../.env", "/outside/secret", "/data/tmp/x"];
    let paths = paths.iter().map(|path| (*path).to_owned()).chain(within.iter().map(|path| format!("{dir}{path}")));
    for path in paths {
        let read = bench.run("read_file", json!({"path": path})).await;
        let write = bench.run("write_file", json!({"path": path, "content": "overwritten"})).await;
        assert!(read.is_err() && write.is_err(), "{path:?}: {read:?} {write:?}");
    }
    for own in ["data/admin_token", "data/workflows/w.yaml", "config.yaml", ".env", "outside/secret", "mixed/own.yaml"]
    {
        assert_eq!(bench.text(own), "hands off", "{own}");
    }
    assert!(!bench.path("data/workflows/new.yaml").exists() && !bench.path("outside/new").exists());
}

#[tokio::test]
async fn what_is_no_regular_file_is_not_waited_for() {
    let bench = Bench::new().await;
    let _pipe = bench.pipe();
    std::fs::create_dir(bench.path("data/files/folder")).expect("a folder");
    for path in ["pipe", "folder", "missing"] {
        bench.refusal("read_file", json!({"path": path})).await;
    }
    for path in ["folder", "folder/", "missing/"] {
        bench.refusal("write_file", json!({"path": path, "content": "x"})).await;
    }
}

#[tokio::test]
async fn what_a_dead_process_left_of_temporary_files_is_cleared_and_nothing_else() {
    let bench = Bench::new().await;
    std::fs::create_dir_all(bench.path("data/tmp/run_old/step-1")).expect("a folder");
    bench.file("data/tmp/run_old/step-1/left", "x");
    bench.file("data/files/kept", "x");
    for _ in 0..2 {
        bench.context.files.clean_scratch().expect("clears");
    }
    assert!(!bench.path("data/tmp").exists() && bench.path("data/files/kept").exists());
}

#[tokio::test]
async fn sizes_are_bounded() {
    let bench = Bench::new().await;
    bench.file("data/files/long", &format!("x{}", "é".repeat(OUTPUT_BYTES_MAX)));
    let tool = bench.run("read_file", json!({"path": "long"})).await.expect("reads");
    let text = tool.value.as_str().expect("text");
    assert!(tool.truncated && text.len() <= OUTPUT_BYTES_MAX && !text.contains('\u{FFFD}'), "{}", text.len());
    bench.file("data/files/exact", &"x".repeat(OUTPUT_BYTES_MAX));
    assert!(!bench.run("read_file", json!({"path": "exact"})).await.expect("reads").truncated);
    bench.file("data/files/secret", &format!("key: {SECRET}"));
    assert_eq!(bench.value("read_file", json!({"path": "secret"})).await, "key: ***");

    let most = "x".repeat(WRITE_BYTES_MAX);
    bench.value("write_file", json!({"path": "most", "content": most})).await;
    let message = bench.refusal("write_file", json!({"path": "most", "content": format!("{most}x")})).await;
    assert!(message.contains("more than"), "{message}");
    let deep = "d/".repeat(40) + "file";
    assert!(bench.refusal("write_file", json!({"path": deep, "content": "x"})).await.contains("new folders"));
    let long = "x".repeat(PATH_BYTES_MAX + 1);
    assert!(bench.refusal("read_file", json!({"path": long})).await.contains("more than"));
}
