//! Which Kotlin code is compiled against what, and which of it is tested.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    compile::{Compilation, Rules},
    jars::{Jars, Set},
    junit::Tests,
};
use crate::process::root;

/// The framework itself. Tests run in Robolectric's sandbox, which loads its own; JUnit, which only looks at their
/// signatures, finds it last, as it has old versions of some libraries in it.
const FRAMEWORK: &str = "android-all-";

/// What of the sample app is compiled: the rest needs what only Google publishes.
const SAMPLE: [&str; 3] = ["Chat.kt", "ChatScreen.kt", "ChatState.kt"];

/// The Kotlin code, with what it is compiled by, from and against.
pub(super) struct Project {
    jars: Jars,
    compiler: Vec<PathBuf>,
    /// The library for this machine.
    library: PathBuf,
    generated: PathBuf,
}

/// Some of the code, compiled.
struct Module {
    classes: PathBuf,
    /// What it is compiled against.
    path: Vec<PathBuf>,
}

impl Module {
    /// What code that uses it is compiled against.
    fn with(&self, more: &[PathBuf]) -> Vec<PathBuf> {
        [&[self.classes.clone()][..], &self.path, more].concat()
    }
}

impl Project {
    pub(super) fn new(jars: Jars, library: PathBuf, generated: PathBuf) -> Result<Self> {
        let compiler = jars.get(&[Set::Compiler])?;
        Ok(Self { jars, compiler, library, generated })
    }

    /// Compiles all of it and runs the tests; returns how many passed.
    pub(super) fn test(&self) -> Result<usize> {
        let core = self.core()?;
        let android = self.android(&core)?;
        let sample = self.sample(&core)?;
        let test = self.jars.get(&[Set::Test])?;
        // Those of the parts for Android make errors themselves, which is for the core alone.
        let tests_of = |name: &str, sources: Vec<PathBuf>, tested: &Module| {
            self.module(name, Rules::NoWarnings, sources, tested.with(&test), &[tested, &core])
        };
        let of_core = tests_of("otaro-test", files_of(&folder("otaro/src/test/kotlin/dev/otaro"))?, &core)?;
        let sources = vec![folder("otaro/src/test/kotlin/dev/otaro/android")];
        let mut of_android = tests_of("otaro-android-test", sources, &android)?;
        of_android.path.push(self.stand_ins()?.classes);
        let of_sample = tests_of("sample-test", vec![folder("sample/src/test/kotlin")], &sample)?;

        let passed = [
            self.run(&of_core, &heap_of_one_size())?,
            self.run(&of_android, &self.robolectric())?,
            self.run(&of_sample, &[])?,
        ];
        Ok(passed.into_iter().sum())
    }

    /// Compiles the package; returns the folders of its classes.
    pub(super) fn package(&self) -> Result<Vec<PathBuf>> {
        let core = self.core()?;
        let android = self.android(&core)?;
        // What was generated is the first that the core is compiled against.
        let generated = core.path.first().cloned();
        Ok(generated.into_iter().chain([core.classes, android.classes]).collect())
    }

    /// The package without Android.
    fn core(&self) -> Result<Module> {
        let libraries = self.jars.get(&[Set::Library])?;
        let generated =
            self.compile("otaro-ffi", Rules::Generated, vec![self.generated.clone()], libraries, &[])?;
        let sources = files_of(&folder("otaro/src/main/kotlin/dev/otaro"))?;
        self.compile("otaro", Rules::ExplicitApi, sources, generated.with(&[]), &[])
    }

    /// The parts of the package for Android.
    fn android(&self, core: &Module) -> Result<Module> {
        let path = core.with(&self.jars.get(&[Set::Android])?);
        let sources = vec![folder("otaro/src/main/kotlin/dev/otaro/android")];
        self.module("otaro-android", Rules::ExplicitApi, sources, path, &[core])
    }

    /// What Robolectric refers to and Maven Central lacks.
    fn stand_ins(&self) -> Result<Module> {
        let path = self.jars.get(&[Set::Library, Set::Android])?;
        let sources = vec![folder("otaro/src/robolectric/kotlin")];
        self.compile("robolectric", Rules::NoWarnings, sources, path, &[])
    }

    /// The sample app, without its activity.
    fn sample(&self, core: &Module) -> Result<Module> {
        let path = core.with(&self.jars.get(&[Set::ComposeUi])?);
        let sources = SAMPLE.map(|file| folder("sample/src/main/kotlin/dev/otaro/sample").join(file));
        let plugin = self.jars.get(&[Set::ComposePlugin])?;
        self.compile("sample", Rules::NoWarnings, sources.to_vec(), path, &plugin)
    }

    fn compile(
        &self,
        name: &str,
        rules: Rules,
        sources: Vec<PathBuf>,
        path: Vec<PathBuf>,
        plugins: &[PathBuf],
    ) -> Result<Module> {
        let compilation =
            Compilation { name, rules, sources: &sources, classpath: &path, friends: &[], plugins };
        Ok(Module { classes: compilation.run(&self.compiler)?, path })
    }

    /// Compiles what belongs to other modules and may use what these keep to themselves.
    fn module(
        &self,
        name: &str,
        rules: Rules,
        sources: Vec<PathBuf>,
        path: Vec<PathBuf>,
        friends: &[&Module],
    ) -> Result<Module> {
        let friends: Vec<_> = friends.iter().map(|friend| friend.classes.clone()).collect();
        let compilation =
            Compilation { name, rules, sources: &sources, classpath: &path, friends: &friends, plugins: &[] };
        Ok(Module { classes: compilation.run(&self.compiler)?, path })
    }

    fn run(&self, tests: &Module, options: &[String]) -> Result<usize> {
        let framework = |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FRAMEWORK))
        };
        let mut path = tests.path.clone();
        path.sort_by_key(framework);
        Tests { classes: &tests.classes, path: &path, library: &self.library, options }.run()
    }

    /// The framework comes from the folder of jars, and from nowhere else; it is the one that was compiled
    /// against, so Robolectric adds its hooks while it loads it.
    fn robolectric(&self) -> Vec<String> {
        let jars = self.jars.folder().display();
        vec![
            "-Drobolectric.offline=true".to_owned(),
            "-Drobolectric.usePreinstrumentedJars=false".to_owned(),
            format!("-Drobolectric.dependency.dir={jars}"),
        ]
    }
}

/// All of the heap is in memory from the start: what the process grows by later is not the heap.
fn heap_of_one_size() -> Vec<String> {
    ["-Xms256m", "-Xmx256m", "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC"].map(str::to_owned).to_vec()
}

/// A folder of the Android project.
fn folder(path: &str) -> PathBuf {
    root().join("android").join(path)
}

/// The files of a folder, without those of folders in it.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}
