//! Bad input.

use weir_cluster_tests::{accept::bad_input, report::Report};

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_its_code_and_odd_names_are_data() {
    bad_input::story(&mut Report::default()).await.expect("every input is answered as documented");
}
