//! Carries out a plan: begins faults, lets them work, ends them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use weir_check::rng::Rng;

use super::{
    canary::Canary,
    fault::{Fault, Healed, Kind, Scene},
    plan::{Plan, Planned},
    rig::Rig,
};

/// Between two looks at the clock and the processes.
const TICK: Duration = Duration::from_millis(100);
/// How long after the last fault the cluster must serve again.
const CALM: Duration = Duration::from_secs(12);
/// How long faults may take to heal at the end.
const HEAL_WITHIN: Duration = Duration::from_secs(120);

/// A fault that lasts.
struct Active {
    planned: Planned,
    fault: Box<dyn Fault>,
    rng: Rng,
    name: String,
    nodes: Vec<u64>,
}

/// Carries out the plan to its end, and heals everything, also after an error.
///
/// # Errors
/// When the machine refuses something.
pub async fn carry_out(rig: &mut Rig, plan: &Plan, kinds: &[Kind], canary: &mut Canary) -> Result<()> {
    let mut active = Vec::new();
    let carried_out = play(rig, plan, kinds, canary, &mut active).await;
    let healed = heal_all(rig, active).await;
    carried_out.and(healed)
}

async fn play(
    rig: &mut Rig,
    plan: &Plan,
    kinds: &[Kind],
    canary: &mut Canary,
    active: &mut Vec<Active>,
) -> Result<()> {
    let (begun, mut calm_since) = (Instant::now(), Instant::now());
    let mut waiting: VecDeque<Planned> = plan.faults().into();
    while begun.elapsed() < Duration::from_millis(plan.length_ms) {
        let now = u64::try_from(begun.elapsed().as_millis())?;
        heal_due(rig, active, |planned| planned.ends_ms <= now).await?;
        while let Some(planned) = waiting.pop_front_if(|planned| planned.begins_ms <= now) {
            begin(rig, planned, kinds, active).await?;
        }
        for active in active.iter_mut() {
            let mut scene = Scene { rig, rng: &mut active.rng, id: &active.name };
            active.fault.tick(&mut scene).await.with_context(|| format!("fault {}", active.planned.name))?;
        }
        rig.supervise().await?;
        if !active.is_empty() {
            calm_since = Instant::now();
        } else if calm_since.elapsed() > CALM {
            canary.sing(rig).await;
            calm_since = Instant::now();
        }
        crate::window(TICK).await;
    }
    Ok(())
}

/// Ends all faults, however long that takes, within a limit.
async fn heal_all(rig: &mut Rig, mut active: Vec<Active>) -> Result<()> {
    let deadline = Instant::now() + HEAL_WITHIN;
    loop {
        heal_due(rig, &mut active, |_| true).await?;
        let Some(last) = active.first() else { return Ok(()) };
        anyhow::ensure!(
            Instant::now() < deadline,
            "fault {} ({}) was not healed in {HEAL_WITHIN:?}",
            last.planned.name,
            last.planned.id
        );
        rig.supervise().await?;
        crate::window(TICK).await;
    }
}

/// Begins a fault. One that failed half-way is active too, so that what it did is healed.
async fn begin(rig: &mut Rig, planned: Planned, kinds: &[Kind], active: &mut Vec<Active>) -> Result<()> {
    let kind =
        kinds.iter().find(|kind| kind.name == planned.name).context("the plan names an unknown fault")?;
    // Letters, digits and hyphens, as names of chains are.
    let name = format!("f{}", planned.id.replace('.', "-"));
    let (mut fault, mut rng) = ((kind.make)(), Rng::new(planned.seed));
    let since = rig.journal.now_us();
    let mut scene = Scene { rig, rng: &mut rng, id: &name };
    let hit = fault.inject(&mut scene).await.with_context(|| format!("fault {}", planned.name));
    let nodes = match &hit {
        Ok(Some(hit)) => {
            rig.journal.did(&format!("{}.begun", planned.name), 1);
            rig.journal.fault(planned.name, "inject", since, &hit.nodes, &hit.detail);
            hit.nodes.clone()
        }
        Ok(None) => {
            let (name, id) = (planned.name, &planned.id);
            rig.journal.say(&format!("skip   {name} ({id}): there is nothing that it could hit"));
            return Ok(());
        }
        Err(_) => Vec::new(),
    };
    active.push(Active { planned, fault, rng, name, nodes });
    hit.map(drop)
}

async fn heal_due(rig: &mut Rig, active: &mut Vec<Active>, is_due: impl Fn(&Planned) -> bool) -> Result<()> {
    let mut left = Vec::new();
    for mut one in active.drain(..) {
        if !is_due(&one.planned) {
            left.push(one);
            continue;
        }
        let since = rig.journal.now_us();
        let mut scene = Scene { rig, rng: &mut one.rng, id: &one.name };
        let healed =
            one.fault.heal(&mut scene).await.with_context(|| format!("fault {}", one.planned.name))?;
        match healed {
            Healed::NotYet => left.push(one),
            Healed::Done(times) => {
                rig.journal.did(one.planned.name, times);
                let detail = serde_json::json!({ "did": times });
                rig.journal.fault(one.planned.name, "heal", since, &one.nodes, &detail);
            }
        }
    }
    *active = left;
    Ok(())
}
