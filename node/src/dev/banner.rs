use super::folder::DevFolder;

/// Says where everything is and what to try. Printed once, when every node is ready.
pub fn show(folder: &DevFolder) {
    let first = &folder.nodes[0];
    let url = folder.url();
    println!("\nweir is ready\n");
    for node in &folder.nodes {
        println!("  node {}   http://{}", node.id, node.listen);
    }
    println!("  data     {}\n", folder.path.display());
    println!("try, in another terminal:\n");
    let flag = if first.listen.port() == 9123 { String::new() } else { format!(" --server {url}") };
    println!(
        "  weir stream append order-1 --type order --name order.placed --data '{{\"total\": 12}}'{flag}"
    );
    println!("  weir stream read order-1{flag}");
    println!("  weir cluster status{flag}");
    println!("  curl -s {url}/api/v1/streams/order-1/events\n");
    println!("Ctrl-C stops it; the data stays.");
}
