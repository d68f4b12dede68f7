plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.compose)
}

android {
    namespace = "dev.otaro.sample"
    compileSdk = 36

    defaultConfig {
        applicationId = "dev.otaro.sample"
        minSdk = 24
        targetSdk = 36
        versionCode = 1
        versionName = "1"
    }

    buildTypes.getByName("release") {
        isMinifyEnabled = true
        proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"))
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    // A model is read where it lies in the APK.
    androidResources.noCompress += "safetensors"
    sourceSets.getByName("main").assets.directories += layout.buildDirectory.dir("assets").get().asFile.path
}

/** The model of this repository becomes an asset; an app of one's own has its model in `src/main/assets`. */
val copyModel = tasks.register<Copy>("copyModel") {
    from(rootDir.parentFile.resolve("models/storyteller-4m.sefp.safetensors"))
    into(layout.buildDirectory.dir("assets"))
}

tasks.named("preBuild") {
    dependsOn(copyModel)
}

dependencies {
    implementation(project(":otaro"))
    implementation(platform(libs.compose.bom))
    implementation(libs.activity.compose)
    implementation(libs.compose.material3)
    implementation(libs.coroutines.android)
    implementation(libs.lifecycle.runtime.compose)
    implementation(libs.lifecycle.viewmodel)

    testImplementation(platform(libs.junit.bom))
    testImplementation(libs.junit.jupiter)
    testImplementation(libs.coroutines.test)
    testRuntimeOnly(libs.junit.launcher)
}
