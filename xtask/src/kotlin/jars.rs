//! The jars of the Kotlin compiler, of the libraries and of the tests: `android/jars.lock` pins every
//! one of them with its hash, Maven brings them, all of them from Maven Central.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::process::{root, run};

/// What a jar is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    /// The Kotlin compiler.
    Compiler,
    /// What an app gets along with the package.
    Library,
    /// What its tests need.
    Test,
    /// Android's framework, and what runs it on a JVM.
    Android,
    /// Compose for the JVM, against which the screen of the sample app is compiled.
    ComposeUi,
    /// The plugin of the compiler for Compose.
    ComposePlugin,
}

impl Set {
    const ALL: [(&str, Self); 6] = [
        ("compiler", Self::Compiler),
        ("library", Self::Library),
        ("test", Self::Test),
        ("android", Self::Android),
        ("compose-ui", Self::ComposeUi),
        ("compose-plugin", Self::ComposePlugin),
    ];
}

/// A line of the lock: `SETS SHA256 GROUP:ARTIFACT:VERSION`.
#[derive(Debug)]
struct Jar {
    sets: Vec<Set>,
    sha256: String,
    group: String,
    artifact: String,
    version: String,
}

/// All that the lock names.
pub(super) struct Jars {
    jars: Vec<Jar>,
    folder: PathBuf,
}

impl Jars {
    /// The jars of the lock, kept in a folder.
    pub(super) fn read(folder: PathBuf) -> Result<Self> {
        let path = root().join("android/jars.lock");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { jars: parse(&text)?, folder })
    }

    /// Where the jars are kept.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The jars of some sets, brought here where they are missing.
    pub(super) fn get(&self, sets: &[Set]) -> Result<Vec<PathBuf>> {
        let wanted = || self.jars.iter().filter(|jar| jar.sets.iter().any(|set| sets.contains(set)));
        let missing: Vec<_> = wanted().filter(|jar| !self.path(jar).is_file()).collect();
        if !missing.is_empty() {
            self.fetch(&missing)?;
        }
        Ok(wanted().map(|jar| self.path(jar)).collect())
    }

    fn path(&self, jar: &Jar) -> PathBuf {
        self.folder.join(format!("{}-{}.jar", jar.artifact, jar.version))
    }

    /// Has Maven bring jars, and takes those whose hashes are right.
    fn fetch(&self, jars: &[&Jar]) -> Result<()> {
        let incoming = self.folder.join("incoming");
        fs::create_dir_all(&incoming)?;
        let project = incoming.join("pom.xml");
        fs::write(&project, pom(jars)).with_context(|| format!("cannot write {}", project.display()))?;
        let goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
        let mut maven = Command::new("mvn");
        maven.args(["--batch-mode", "--quiet", "--strict-checksums", "--file"]).arg(&project).arg(goal);
        run(maven.arg(format!("-DoutputDirectory={}", incoming.display())))?;
        for jar in jars {
            let file = incoming.join(format!("{}-{}.jar", jar.artifact, jar.version));
            check(&file, &jar.sha256)?;
            fs::rename(file, self.path(jar))?;
        }
        fs::remove_dir_all(&incoming).context("the folder of new jars stays")
    }
}

fn check(file: &Path, sha256: &str) -> Result<()> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut hash = String::new();
    for byte in Sha256::digest(bytes) {
        write!(hash, "{byte:02x}")?;
    }
    ensure!(hash == sha256, "{} has the hash {hash}, and android/jars.lock says {sha256}", file.display());
    Ok(())
}

fn parse(lock: &str) -> Result<Vec<Jar>> {
    let lines = lock.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| jar(line).with_context(|| format!("android/jars.lock: {line:?}"))).collect()
}

fn jar(line: &str) -> Result<Jar> {
    let [sets, sha256, coordinates] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        bail!("a line is: sets, hash, coordinates");
    };
    let set = |name: &str| {
        let found = Set::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, set)| set).with_context(|| format!("there is no set {name:?}"))
    };
    let sets = sets.split(',').map(set).collect::<Result<_>>()?;
    let [group, artifact, version] = coordinates.split(':').collect::<Vec<_>>()[..] else {
        bail!("coordinates are: group, artifact, version");
    };
    let [group, artifact, version, sha256] = [group, artifact, version, sha256].map(str::to_owned);
    Ok(Jar { sets, sha256, group, artifact, version })
}

/// A project that depends on jars and on nothing that these would like to have.
fn pom(jars: &[&Jar]) -> String {
    let mut dependencies = String::new();
    for Jar { group, artifact, version, .. } in jars {
        dependencies += &format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>\
             <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>\
             </exclusions></dependency>\n"
        );
    }
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>dev.otaro</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>\n\
         <dependencies>\n{dependencies}</dependencies></project>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_names_every_jar_once() {
        let lock = fs::read_to_string(root().join("android/jars.lock")).expect("the lock");
        let jars = parse(&lock).expect("it is well-formed");
        for (index, jar) in jars.iter().enumerate() {
            assert_eq!(jar.sha256.len(), 64, "{jar:?}");
            let same = |other: &&Jar| other.artifact == jar.artifact && other.group == jar.group;
            assert!(!jars[..index].iter().any(|other| same(&other)), "{jar:?}");
        }
        for (_, set) in Set::ALL {
            assert!(jars.iter().any(|jar| jar.sets.contains(&set)), "{set:?}");
        }
    }

    #[test]
    fn gradle_and_the_lock_agree() {
        let catalog =
            fs::read_to_string(root().join("android/gradle/libs.versions.toml")).expect("the catalog");
        let lock =
            parse(&fs::read_to_string(root().join("android/jars.lock")).expect("the lock")).expect("a lock");
        for (name, artifact) in [
            ("kotlin", "kotlin-stdlib"),
            ("coroutines", "kotlinx-coroutines-core-jvm"),
            ("serialization", "kotlinx-serialization-json-jvm"),
            ("jna", "jna"),
            ("robolectric", "robolectric"),
        ] {
            let jar = lock.iter().find(|jar| jar.artifact == artifact).expect("in the lock");
            let line = format!("{name} = \"{}\"", jar.version);
            assert!(catalog.lines().any(|known| known == line), "the catalog lacks {line}");
        }
    }

    #[test]
    fn what_is_no_line_of_the_lock_is_named() {
        for line in ["library abc", "nothing abc a:b:1", "library abc a:b", "library abc a:b:1:aar"] {
            let error = parse(line).expect_err("no such line");
            assert!(error.to_string().contains(line), "{error:#}");
        }
        let jars = parse("# a comment\n\nlibrary,test abc a:b:1\n").expect("a line");
        assert_eq!((jars[0].sets.len(), jars[0].version.as_str()), (2, "1"));
    }
}
