//! The README's first command, as a stranger runs it.

use std::process::Stdio;

use tokio::process::Command;
use weir_cluster_tests::binary;

#[tokio::test]
async fn the_demo_ends_with_what_it_folded_and_runs_again() {
    let dir = tempfile::tempdir().expect("a folder");
    for run in ["first", "second"] {
        let mut demo = Command::new(binary::weir().expect("a weir"));
        demo.args(["demo", "--data", "weir-data"]).current_dir(dir.path()).stdin(Stdio::null());
        let out = demo.kill_on_drop(true).output().await.expect("it starts");
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "{run} run: {said}{}", String::from_utf8_lossy(&out.stderr));
        let ada = said.split("--partition 'Ada Byron'").nth(1).expect("it asks for one customer");
        assert!(ada.contains("\"lastActivity\": \"order.shipped\""), "{run} run answered too early:{ada}");
    }
}
