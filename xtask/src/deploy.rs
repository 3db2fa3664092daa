//! Renders the Kubernetes manifests and checks them against the schemas.

use anyhow::{Context, Result, bail};

use crate::{
    command::{command, output, target},
    tools,
};

const BASE: &str = "deploy/kustomize/base";
/// The oldest cluster that we mean to run on, and the newest one.
const KUBERNETES_VERSIONS: [&str; 2] = ["1.29", "1.37"];

/// The command `cargo xtask deploy`: renders, then validates against the
/// schemas. Without kubectl it says so and passes.
pub fn run() -> Result<()> {
    let Some(manifests) = rendered()? else { return Ok(()) };
    let file = target().join("deploy.yaml");
    std::fs::write(&file, manifests).with_context(|| format!("cannot write {}", file.display()))?;
    let validator = tools::manifest_validator()?;
    for version in KUBERNETES_VERSIONS {
        let mut check = command(&validator);
        crate::command::run(check.args(["--strict", "--kubernetes-version", version]).arg(&file))?;
    }
    println!("Manifests are valid for Kubernetes {}.", KUBERNETES_VERSIONS.join(" and "));
    Ok(())
}

/// Renders only, which needs nothing from outside.
pub fn render_only() -> Result<()> {
    rendered().map(|_| ())
}

fn rendered() -> Result<Option<String>> {
    let Some(kubectl) = tools::on_path("kubectl") else {
        eprintln!("kubectl is not installed: {BASE} is not checked");
        return Ok(None);
    };
    let manifests = output(command(kubectl).args(["kustomize", BASE]))?;
    if !manifests.contains("kind: StatefulSet") {
        bail!("{BASE} renders no StatefulSet");
    }
    Ok(Some(manifests))
}
