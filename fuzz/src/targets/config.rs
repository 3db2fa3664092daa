//! A node's config file.

use weir_node::config::{Member, NodeConfig};

use crate::{Target, memory::Bound};

pub(super) const CONFIG: Target = Target {
    name: "config",
    about: "the text of a config, and members as a flag spells them",
    run: config,
    // TOML keeps where every value stood.
    memory: Bound { fixed: 1024 * 1024, per_byte: 1024 },
    seeds: &[],
    slow_ms: 0,
};

fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(member) = text.trim_end().parse::<Member>() {
        assert_eq!(member.to_string().parse::<Member>().as_ref(), Ok(&member));
    }
    let Ok(config) = NodeConfig::parse(text) else { return };
    assert_eq!(NodeConfig::parse(&config.dump()).as_ref().ok(), Some(&config));
    if let Ok(plan) = config.check() {
        assert!(
            plan.node.0 > 0 && plan.members.iter().filter(|member| member.node == plan.node).count() == 1
        );
    }
}
