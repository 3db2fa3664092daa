use rquickjs::{
    Context, Ctx, FromJs, Function, Module, Object, Persistent, Runtime, Value,
    context::{EvalOptions, intrinsic},
    function::IntoArgs,
    promise::PromiseState,
};

use weir_types::RecordedEvent;

use super::{
    Fault, ReducerLimits,
    event_args::event_args,
    fault::SANDBOX_FILE,
    files::{Files, Paths},
    meter::Meter,
    plain::{LOOKED_AT, Plain},
};

/// What a module is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It folds events into views.
    Projection,
    /// It folds a stream and judges what comes next.
    Invariant,
    /// It leads the data of events from one schema version to another.
    Upcaster,
}

impl Role {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Projection, Self::Invariant, Self::Upcaster];

    /// The name of its driver.
    fn driver(self) -> &'static str {
        match self {
            Self::Projection => "projection",
            Self::Invariant => "invariant",
            Self::Upcaster => "upcaster",
        }
    }

    /// What the module's file is called in stacks.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Projection => "projection.js",
            Self::Invariant => "invariant.js",
            Self::Upcaster => "upcaster.js",
        }
    }
}

/// The parts of the language that exist. There is no `Date`, `performance`,
/// `WeakRef` (which shows when garbage is collected), shared memory or proxy.
type Intrinsics = (
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::MapSet,
    intrinsic::Promise,
);

/// One author's module, loaded in a JavaScript engine of its own, with the
/// states of the partitions that are resident. Bound to the thread that made it.
///
/// After a call that failed its states are not to be trusted: drop it.
pub(crate) struct Engine {
    // The driver goes before the context, the context before the runtime.
    driver: Driver,
    context: Context,
    meter: Meter,
    limits: ReducerLimits,
    steps: u64,
    _runtime: Runtime,
}

impl Engine {
    /// Loads a module and checks what it exports.
    pub(crate) fn load_module(role: Role, source: &str, limits: ReducerLimits) -> Result<Self, Fault> {
        let (first, files) = Files::of(source)?;
        let trouble = |error: rquickjs::Error| Fault::new(format!("engine does not start: {error}"));
        let runtime = Runtime::new().map_err(trouble)?;
        runtime.set_memory_limit(limits.memory_bytes_max);
        runtime.set_max_stack_size(limits.stack_bytes_max);
        runtime.set_loader(Paths, files);
        let meter = Meter::new();
        let watched = meter.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || watched.tick())));
        meter.arm(limits.ticks_per_event_max, limits.event_time_max * limits.first_event_factor);
        let context = Context::custom::<Intrinsics>(&runtime).map_err(trouble)?;
        let driver = context
            .with(|ctx| Driver::load(&ctx, role, first).map_err(|error| Fault::of(&ctx, error, &meter)))?;
        Ok(Self { driver, context, meter, limits, steps: 0, _runtime: runtime })
    }

    /// JSON of the module's name, events and partition key.
    pub(crate) fn declared(&self) -> &str {
        &self.driver.declared
    }

    /// Brings a stored state in.
    pub(crate) fn load(&mut self, partition: &str, state: &str) -> Result<(), Fault> {
        self.call(&self.driver.load, (partition, state))
    }

    /// Folds one event.
    pub(crate) fn step(&mut self, partition: &str, event: &RecordedEvent) -> Result<(), Fault> {
        self.steps += 1;
        self.metered(|ctx| {
            let state = event_args(ctx, partition, event)?.apply(&self.driver.step.clone().restore(ctx)?)?;
            self.driver.settle(ctx, state)
        })
    }

    /// A resident state as JSON, checked whole.
    pub(crate) fn collect(&self, partition: &str) -> Result<String, Fault> {
        self.call(&self.driver.collect, (partition,))
    }

    /// Lets a state go.
    pub(crate) fn drop_state(&mut self, partition: &str) -> Result<(), Fault> {
        self.call(&self.driver.drop, (partition,))
    }

    fn call<A, R>(&self, function: &Persistent<Function<'static>>, arguments: A) -> Result<R, Fault>
    where
        A: for<'js> IntoArgs<'js>,
        R: for<'js> FromJs<'js>,
    {
        self.metered(|ctx| function.clone().restore(ctx)?.call(arguments))
    }

    /// Enters the engine, for as long as one event may take.
    fn metered<R>(&self, enter: impl FnOnce(&Ctx<'_>) -> rquickjs::Result<R>) -> Result<R, Fault> {
        let factor = if self.steps <= 1 { self.limits.first_event_factor } else { 1 };
        self.meter.arm(self.limits.ticks_per_event_max, self.limits.event_time_max * factor);
        self.context.with(|ctx| enter(&ctx).map_err(|error| Fault::of(&ctx, error, &self.meter)))
    }
}

/// What the sandbox gives the host.
struct Driver {
    load: Persistent<Function<'static>>,
    step: Persistent<Function<'static>>,
    collect: Persistent<Function<'static>>,
    drop: Persistent<Function<'static>>,
    settle: Persistent<Function<'static>>,
    plain: Plain,
    declared: String,
    /// What has to live as long as the driver.
    _sandbox: Persistent<Object<'static>>,
}

impl Driver {
    /// Makes the sandbox, then loads the module into it.
    fn load<'js>(ctx: &Ctx<'js>, role: Role, source: &str) -> rquickjs::Result<Self> {
        let mut options = EvalOptions::default();
        options.filename = Some(SANDBOX_FILE.into());
        let sandbox: Object<'js> = ctx.eval_with_options(include_str!("sandbox.js"), options)?;
        let (module, loaded) = Module::declare(ctx.clone(), role.file(), source)?.eval()?;
        match loaded.state() {
            PromiseState::Resolved => {}
            PromiseState::Rejected => loaded.result::<()>().unwrap_or(Ok(()))?,
            PromiseState::Pending => {
                return Err(rquickjs::Exception::throw_type(
                    ctx,
                    "module must not wait (`await`) at its top level",
                ));
            }
        }
        let drivers: Object<'js> = sandbox.get("drivers")?;
        let driver = drivers.get::<_, Function<'js>>(role.driver())?.call((module.namespace()?,))?;
        Self::save(ctx, &sandbox, &driver)
    }

    fn save<'js>(ctx: &Ctx<'js>, sandbox: &Object<'js>, driver: &Object<'js>) -> rquickjs::Result<Self> {
        let save = |of: &Object<'js>, name: &str| -> rquickjs::Result<_> {
            Ok(Persistent::save(ctx, of.get::<_, Function<'js>>(name)?))
        };
        Ok(Self {
            load: save(driver, "load")?,
            step: save(driver, "step")?,
            collect: save(driver, "collect")?,
            drop: save(driver, "drop")?,
            settle: save(sandbox, "settle")?,
            plain: Plain::save(ctx, sandbox.get("objectPrototype")?, sandbox.get("arrayPrototype")?),
            declared: driver.get("declared")?,
            _sandbox: Persistent::save(ctx, sandbox.clone()),
        })
    }

    /// Makes sure that a state is what JSON holds, if a step gave one back.
    fn settle<'js>(&self, ctx: &Ctx<'js>, state: Value<'js>) -> rquickjs::Result<()> {
        if state.is_undefined() || self.plain.is(ctx, &state)? {
            return Ok(());
        }
        self.settle.clone().restore(ctx)?.call((state, LOOKED_AT))
    }
}
