use super::folder::DevFolder;
use crate::telemetry::show;

/// Says where everything is and what to try. Printed once, when every node is ready.
pub fn welcome(folder: &DevFolder) {
    let first = &folder.nodes[0];
    let url = folder.url();
    show("\nweir is ready\n");
    for node in &folder.nodes {
        show(format_args!("  node {}   http://{}", node.id, node.listen));
    }
    show(format_args!("  data     {}\n", folder.path.display()));
    show("try, in another terminal:\n");
    let flag = if first.listen.port() == 9123 { String::new() } else { format!(" --server {url}") };
    show(format_args!(
        "  weir stream append order-1 --type order --name order.placed --data '{{\"total\": 12}}'{flag}"
    ));
    show(format_args!("  weir stream read order-1{flag}"));
    show(format_args!("  weir cluster status{flag}"));
    show(format_args!("  curl -s {url}/api/v1/streams/order-1/events\n"));
    show("Ctrl-C stops it; the data stays.");
}
