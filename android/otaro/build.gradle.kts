import org.gradle.api.publish.maven.MavenPublication

plugins {
    alias(libs.plugins.android.library)
    `maven-publish`
}

/** The root of the Cargo workspace. */
val workspace: File = rootDir.parentFile

/** One version for everything: that of the Cargo workspace. */
val workspaceVersion: String = File(workspace, "Cargo.toml").readLines()
    .first { it.startsWith("version = ") }
    .substringAfter('"').substringBefore('"')

group = "dev.otaro"
version = workspaceVersion

/** Targets of Rust and their names in an APK. 32-bit processors map models of up to about 1 GB. */
val abis = mapOf("arm64-v8a" to "aarch64-linux-android", "armeabi-v7a" to "armv7-linux-androideabi", "x86_64" to "x86_64-linux-android")
val minSdkVersion = 24

/** Runs cargo-ndk: `cargo install cargo-ndk`, `rustup target add` for each target, and the NDK that `ndkVersion` names. */
val cargoNdk = tasks.register<Exec>("cargoNdk") {
    group = "build"
    description = "Builds libotaro_ffi.so for every ABI"
    val out = layout.buildDirectory.dir("jniLibs")
    inputs.files(fileTree(workspace) { include("**/*.rs", "**/*.wgsl", "**/Cargo.toml", "Cargo.lock"); exclude("target", "android") })
    outputs.dir(out)
    workingDir = workspace
    // Pages of 16 KiB, which Android 15 and later may have.
    environment("RUSTFLAGS", "-C link-arg=-Wl,-z,max-page-size=16384")
    commandLine(
        listOf("cargo", "ndk", "--platform", "$minSdkVersion", "--output-dir", out.get().asFile.path) +
            abis.keys.flatMap { listOf("--target", it) } +
            listOf("build", "--package", "otaro-ffi", "--lib", "--profile", "mobile"),
    )
}

/** Generates `dev.otaro.ffi` from the library that was built for this machine. */
val generateBindings = tasks.register<Exec>("generateBindings") {
    group = "build"
    description = "Generates the Kotlin code over the library"
    val out = layout.buildDirectory.dir("generated/uniffi")
    inputs.files(fileTree(File(workspace, "bindings")))
    outputs.dir(out)
    workingDir = workspace
    commandLine("cargo", "xtask", "kotlin", "--generate", out.get().asFile.path)
}

android {
    namespace = "dev.otaro"
    compileSdk = 36
    ndkVersion = "29.0.14206865"

    defaultConfig {
        minSdk = minSdkVersion
        consumerProguardFiles("consumer-rules.pro")
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    sourceSets.getByName("main") {
        kotlin.directories += layout.buildDirectory.dir("generated/uniffi").get().asFile.path
        jniLibs.directories += layout.buildDirectory.dir("jniLibs").get().asFile.path
    }

    testOptions.unitTests.all {
        it.useJUnitPlatform()
        it.systemProperty("otaro.model", File(workspace, "models/storyteller-4m.sefp.safetensors").path)
        it.systemProperty("jna.library.path", File(workspace, "target/debug").path)
        it.jvmArgs("--add-opens=java.base/java.io=ALL-UNNAMED")
    }

    publishing.singleVariant("release") {
        withSourcesJar()
    }
}

kotlin {
    explicitApi()
}

tasks.named("preBuild") {
    dependsOn(cargoNdk, generateBindings)
}

dependencies {
    api(libs.coroutines.core)
    implementation(variantOf(libs.jna) { artifactType("aar") })

    // On a JVM it is the jar that has the code for this machine.
    testImplementation(libs.jna)
    testImplementation(platform(libs.junit.bom))
    testImplementation(libs.junit.jupiter)
    testImplementation(libs.coroutines.test)
    testImplementation(libs.serialization.json)
    testImplementation(libs.robolectric)
    testRuntimeOnly(libs.junit.vintage)
    testRuntimeOnly(libs.junit.launcher)
}

publishing {
    publications.register<MavenPublication>("release") {
        artifactId = "otaro"
        afterEvaluate { from(components["release"]) }
        pom {
            name = "otaro"
            description = "LLaMA models on the device, from one file with every precision"
            licenses {
                license {
                    name = "Apache-2.0"
                    url = "https://www.apache.org/licenses/LICENSE-2.0"
                }
                license {
                    name = "MIT"
                    url = "https://opensource.org/licenses/MIT"
                }
            }
        }
    }
}
