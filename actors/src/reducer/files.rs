//! A source of several files: the author's own, and behind it each file that it imports, after a line that names it.
//!
//! ```js
//! import { cents } from './lib/money.js';
//! export const name = 'totals';
//! //# file: lib/money.js
//! export const cents = (amount) => Math.round(amount * 100);
//! ```
//!
//! A file's name is its path beside the first one, and files import each other by paths that begin with `./` or `../`.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use rquickjs::{
    Context, Ctx, Error, Module, Runtime,
    loader::{ImportAttributes, Loader, Resolver},
    module::Declared,
};

use super::{Fault, ReducerError, ReducerLimits, engine::Role};

/// What the line before a file begins with; the name is the rest of it.
const MARK: &str = "//# file: ";
/// Why an import leads nowhere that is no path.
const NO_PATH: &str = "only files beside this one can be imported, by a path that begins with `./` or `../`; \
                       what a package gives is put into one file with a bundler, such as `esbuild --bundle --format=esm`";

/// The files that a source's first one may import, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Files(Arc<BTreeMap<String, String>>);

impl Files {
    /// Takes a source apart: its first file, and the others.
    pub(super) fn of(source: &str) -> Result<(&str, Self), Fault> {
        let mut bounds: Vec<usize> = marks(source).collect();
        let first = &source[..bounds.first().copied().unwrap_or(source.len())];
        bounds.push(source.len());
        let mut files = BTreeMap::new();
        for bound in bounds.windows(2) {
            let (head, body) =
                source[bound[0]..bound[1]].split_once('\n').unwrap_or((&source[bound[0]..bound[1]], ""));
            let name = head[MARK.len()..].trim();
            if name.is_empty()
                || resolve("", &format!("./{name}")).as_deref() != Some(name)
                || Role::ALL.iter().any(|role| role.file() == name)
            {
                return Err(Fault::new(format!("file `{name}` within the source cannot have this name")));
            }
            if files.insert(name.to_owned(), body.to_owned()).is_some() {
                return Err(Fault::new(format!("file `{name}` is there twice within the source")));
            }
        }
        Ok((first, Self(Arc::new(files))))
    }
}

/// Finds files by their paths.
pub(super) struct Paths;

impl Resolver for Paths {
    fn resolve<'js>(
        &mut self,
        _: &Ctx<'js>,
        base: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        resolve(base, name).ok_or_else(|| Error::new_resolving_message(base, name, NO_PATH))
    }
}

impl Loader for Files {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        let text = self
            .0
            .get(name)
            .ok_or_else(|| Error::new_loading_message(name, "it is not within the source"))?;
        Module::declare(ctx.clone(), name, text.as_str())
    }
}

/// Puts a file and all that it imports into one source. `read` gives a file by its name. Nothing of them is run.
///
/// # Errors
/// [`ReducerError::Module`]: what cannot be read, or does not parse.
pub fn assemble(
    first: &str,
    read: impl FnMut(&str) -> io::Result<String> + 'static,
) -> Result<String, ReducerError> {
    assembled(first, read).map_err(|fault| ReducerError::Module { fault })
}

fn assembled(first: &str, read: impl FnMut(&str) -> io::Result<String> + 'static) -> Result<String, Fault> {
    let (own, within) = Files::of(first)?;
    if within != Files::default() {
        return Ok(first.to_owned());
    }
    let limits = ReducerLimits::default();
    let trouble = |error: Error| Fault::new(format!("engine does not start: {error}"));
    let runtime = Runtime::new().map_err(trouble)?;
    runtime.set_memory_limit(limits.memory_bytes_max);
    runtime.set_max_stack_size(limits.stack_bytes_max);
    let found = Arc::default();
    runtime.set_loader(Paths, Reading { read, found: Arc::clone(&found) });
    let context = Context::full(&runtime).map_err(trouble)?;
    context.with(|ctx| {
        Module::declare(ctx.clone(), Role::Projection.file(), own)
            .map(drop)
            .map_err(|error| Fault::caught(&ctx, error))
    })?;
    let found = found.lock().unwrap_or_else(PoisonError::into_inner);
    let mut source = first.to_owned();
    for (name, text) in found.iter() {
        if marks(text).next().is_some() {
            let why = format!("holds a line that begins with `{MARK}`, where another file would begin");
            return Err(Fault::new(format!("`{name}` {why}")));
        }
        let ends = if source.ends_with('\n') { "" } else { "\n" };
        source.push_str(&format!("{ends}{MARK}{name}\n{text}"));
    }
    Files::of(&source)?;
    Ok(source)
}

/// Reads files, and keeps those that parse.
struct Reading<R> {
    read: R,
    found: Arc<Mutex<BTreeMap<String, String>>>,
}

impl<R: FnMut(&str) -> io::Result<String>> Loader for Reading<R> {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        let text = (self.read)(name).map_err(|error| Error::new_loading_message(name, error.to_string()))?;
        let declared = Module::declare(ctx.clone(), name, text.as_str())?;
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), text);
        Ok(declared)
    }
}

/// Where lines begin that name a file.
fn marks(text: &str) -> impl Iterator<Item = usize> + '_ {
    let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    lines.filter(|at| text[*at..].starts_with(MARK))
}

/// The name of the file that a file imports.
fn resolve(base: &str, wanted: &str) -> Option<String> {
    if !wanted.starts_with("./") && !wanted.starts_with("../") {
        return None;
    }
    let mut path: Vec<&str> = base.split('/').collect();
    path.pop();
    for part in wanted.split('/') {
        match part {
            "." | "" => {}
            ".." if path.last().is_some_and(|last| *last != "..") => drop(path.pop()),
            part => path.push(part),
        }
    }
    Some(path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_path_beside_the_first() {
        for (base, wanted, name) in [
            ("projection.js", "./a.js", Some("a.js")),
            ("projection.js", "./lib/../lib/a.js", Some("lib/a.js")),
            ("lib/a.js", "./b.js", Some("lib/b.js")),
            ("lib/a.js", "../b.js", Some("b.js")),
            ("projection.js", "../../b.js", Some("../../b.js")),
            ("../b.js", "./c.js", Some("../c.js")),
            ("projection.js", "lodash", None),
            ("projection.js", "/etc/a.js", None),
        ] {
            assert_eq!(resolve(base, wanted).as_deref(), name, "{wanted} from {base}");
        }
    }

    #[test]
    fn a_source_is_taken_apart_where_its_files_begin() {
        let (first, files) = Files::of("one\n//# file: a.js\ntwo\n//# file: lib/b.js\nthree").unwrap();
        assert_eq!(first, "one\n");
        let files: Vec<_> = files.0.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(files, [("a.js", "two\n"), ("lib/b.js", "three")]);
        assert_eq!(Files::of("x //# file: a.js").unwrap().1, Files::default());
        for bad in ["//# file: \n", "//# file: ./a.js\n", "//# file: /a.js\n", "//# file: projection.js\n"] {
            assert!(Files::of(bad).is_err(), "{bad}");
        }
        assert!(Files::of("//# file: a.js\n//# file: a.js\n").is_err());
    }
}
